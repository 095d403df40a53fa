#!/bin/sh
# Repeats the last stage of the weights that --model=pretrained uses for two echoes, in an hour on two
# cores with AMX: simulates knees, draws varied scans of heads and a fruit, makes records of two slice
# profiles, and fine-tunes the weights of the stage before.
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
make_records() { # NAME SCANS OPTION...: records of both slice profiles
    name=$1 input=$2
    shift 2
    for profile in fir kspace; do
        python -m tf_records_tools.make_records --input="$input" --output="$records/${name}_$profile" \
            --contrasts=dual --profile="$profile" --group_by=scan "$@"
    done
}

varied --scans=5 --input="$brain" --output="$scans/brain" --first_number=1
varied --scans=4 --input="$head,$fruit" --output="$scans/heads" --first_number=2
simulate --output="$scans/knees" --subjects=12 --seed=100 --shape=208,208,112
simulate --output="$scans/thick" --subjects=10 --seed=400 --shape=208,208,72 --protocol=thick --snr=20,70
# Whole legs, for the skin, the air around it and the ends of the slab.
simulate --output="$scans/wide" --subjects=12 --seed=500 --shape=416,416,72 --protocol=thick --snr=20,70
make_records knees "$scans/knees,$scans/thick" --stride=24 --air_below=0.03 --validation_subjects=3 --seed=1
make_records heads "$scans/brain,$scans/heads" --stride=32 --air_below=0.03 --validation_subjects=0
make_records wide "$scans/wide" --stride=32 --air_below=0.01 --validation_subjects=1 --seed=1
sets=
for name in knees heads wide; do
    sets=$sets,$records/${name}_fir,$records/${name}_kspace
done
python -m mrsr_tf.train --flagfile=flags/pretrained/textured --init_from="$weights" --run_dir="$folder/run" \
    --records="${sets#,}"
