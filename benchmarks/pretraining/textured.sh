#!/bin/sh
# Repeats the last stage of the weights that --model=pretrained uses for two echoes, in about two hours on
# two cores: simulates knees, draws varied scans of heads and a fruit, makes records of two slice profiles,
# and fine-tunes the weights of the stage before.
#
#   sh benchmarks/pretraining/textured.sh WEIGHTS BRAIN HEAD FRUIT FOLDER
#
# WEIGHTS is the network to start from; BRAIN, HEAD and FRUIT are the NIfTI files that docs/results/pretrained.md
# names; FOLDER is made. Interrupted, the same call goes on.
set -eu
weights=$1 brain=$2 head=$3 fruit=$4 folder=$5
scans=$folder/scans records=$folder/records

varied() { python -m tf_records_tools.make_varied_scans --contrasts=dual --seed=3 "$@"; }
make_records() { # PROFILE STRIDE
    python -m tf_records_tools.make_records --input="$scans/knees,$scans/thick" \
        --output="$records/knees_$1" --contrasts=dual --profile="$1" --stride="$2" --air_below=0.03 \
        --validation_subjects=3 --group_by=scan --seed=1
    python -m tf_records_tools.make_records --input="$scans/brain,$scans/heads" \
        --output="$records/heads_$1" --contrasts=dual --profile="$1" --stride=32 --air_below=0.03 \
        --validation_subjects=0 --group_by=scan
}

varied --scans=5 --input="$brain" --output="$scans/brain" --first_number=1
varied --scans=4 --input="$head,$fruit" --output="$scans/heads" --first_number=2
python -m phantom.simulate --output="$scans/knees" --subjects=12 --seed=100 --shape=208,208,112
python -m phantom.simulate --output="$scans/thick" --subjects=10 --seed=400 --shape=208,208,72 \
    --protocol=thick --snr=20,70
make_records fir 24
make_records kspace 32
python -m mrsr_tf.train --flagfile=flags/pretrained/textured --init_from="$weights" --run_dir="$folder/run" \
    --records="$records/knees_fir,$records/knees_kspace,$records/heads_fir,$records/heads_kspace"
