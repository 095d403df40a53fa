#!/bin/sh
# Runs the whole pipeline on phantoms, in minutes on two cores, with the same commands as for real
# data. `make demo` runs this script. For real scans on a GPU, use their folders instead of the
# phantoms and flags/paper instead of flags/demo.
set -eu

OUT=${1:-demo}

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

say "1. Scans: phantom knees with known T2, as DICOM"
run python -m phantom.simulate --output="$OUT/scans/single" --protocol=single_contrast --subjects=6 --seed=100 --shape=96,96,64
run python -m phantom.simulate --output="$OUT/scans/dual" --subjects=6 --seed=200 --shape=96,96,64
run python -m phantom.simulate --output="$OUT/scans/test" --diffusivity=1.25e-9 --subjects=4 --seed=300 --shape=96,96,64
run python -m phantom.simulate --output="$OUT/scans/thick" --protocol=thick --diffusivity=1.25e-9 --subjects=4 --seed=400 --shape=96,96,28

say "2. Training records: patches of thick and thin slices"
run python -m tf_records_tools.make_records --input="$OUT/scans/single" --output="$OUT/records/single" --contrasts=single --validation_subjects=1
run python -m tf_records_tools.make_records --input="$OUT/scans/dual" --output="$OUT/records/dual" --contrasts=dual --validation_subjects=1

say "3. Training: on one contrast, then transferred to two"
run python -m mrsr_tf.train --flagfile=flags/demo/single --records="$OUT/records/single" --run_dir="$OUT/runs/single"
run python -m mrsr_tf.train --flagfile=flags/demo/dual --records="$OUT/records/dual" --run_dir="$OUT/runs/dual" --init_from="$OUT/runs/single" --t2_probe="$OUT/scans/test/subject_000"

say "4. Export, super-resolution and T2 map of a DICOM scan"
run python -m mrsr_tf.export --run_dir="$OUT/runs/dual" --output="$OUT/exported"
run python -m mrsr_tf.infer --input="$OUT/scans/thick/subject_000/dicom" --output="$OUT/super_resolved" --model="$OUT/exported"
run python -m eval.t2map --input="$OUT/super_resolved" --output="$OUT/t2"

say "5. Evaluation on knees that were not in training, and the report"
run python -m eval.evaluate --experiment=image_quality --data="$OUT/scans/test" --output="$OUT/image_quality" --model="$OUT/exported" --methods=mrsr,tci,fi
run python -m eval.evaluate --experiment=t2 --data="$OUT/scans/thick" --output="$OUT/t2_accuracy" --model="$OUT/exported" --methods=mrsr,tci,fi
run python -m eval.report --results="$OUT/image_quality,$OUT/t2_accuracy" --output="$OUT/report"
