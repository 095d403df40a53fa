#!/bin/sh
# Repeats the last run of the weights that --model=pretrained uses for two echoes, in an hour on two
# cores: simulates knees, draws varied scans of heads and a fruit, makes records of two slice profiles,
# and fine-tunes the weights of the run before.
#
#   sh benchmarks/pretraining/textured.sh WEIGHTS BRAIN HEAD FRUIT FOLDER
#
# WEIGHTS is the network to start from; BRAIN, HEAD and FRUIT are the NIfTI files that docs/results/pretrained.md
# names; FOLDER is made. Interrupted, the same call goes on.
set -eu
weights=$1 brain=$2 head=$3 fruit=$4 folder=$5
scans=$folder/scans records=$folder/records

varied() { python -m tf_records_tools.make_varied_scans --contrasts=dual --seed=3 "$@"; }
simulate() { python -m phantom.simulate "$@"; }
make_records() { # NAME PROFILE SCANS OPTION...
    name=$1 profile=$2 input=$3
    shift 3
    python -m tf_records_tools.make_records --input="$input" --output="$records/${name}_$profile" \
        --contrasts=dual --profile="$profile" --group_by=scan --stride=32 "$@"
}

varied --scans=5 --input="$brain" --output="$scans/brain" --first_number=1
varied --scans=4 --input="$head,$fruit" --output="$scans/heads" --first_number=2
simulate --output="$scans/knees" --subjects=12 --seed=100 --shape=208,208,112
simulate --output="$scans/thick" --subjects=10 --seed=400 --shape=208,208,72 --protocol=thick --snr=20,70
# Whole legs, for the skin, the air around it and the ends of the slab. S2 of their fat is 0.04 to 0.37 of S1.
simulate --output="$scans/wide" --subjects=12 --seed=550 --shape=416,416,72 --protocol=thick --snr=20,70 \
    --fat_t2=0.35,2
make_records knees fir "$scans/knees,$scans/thick" --air_below=0.03 --validation_subjects=3 --seed=1
make_records heads kspace "$scans/brain,$scans/heads" --air_below=0.03 --validation_subjects=0
make_records wide fir "$scans/wide" --air_below=0.01 --validation_subjects=1 --seed=1
python -m mrsr_tf.train --flagfile=flags/pretrained/textured --init_from="$weights" --run_dir="$folder/run" \
    --records="$records/knees_fir,$records/heads_kspace,$records/wide_fir"
