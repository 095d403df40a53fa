"""Exports a finished run as a SavedModel that needs no code of this package.

    python -m mrsr_tf.export --run_dir=RUNS/dual --output=EXPORTED

Its serving signature takes `volume`, float32 (batch, rows, cols, thick slices, echoes) of raw
scanner intensities, and gives `super_resolved`, float32 with slice_factor times the slices.
EXPORTED/card.json says what the network was trained on.
"""

from absl import flags

from mrsr_tf import command

RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of a finished run.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace what the output folder holds.")


def main() -> None:
    """Loads the run and writes the SavedModel."""
    with command.quiet_imports():
        from mrsr_tf import runs
    from mrsr_tf.outputs import output_folder

    model = runs.load(RUN_DIR.value)
    identity = {"weights_sha256": model.weights_sha256, "slice_factor": model.slice_factor}
    with output_folder(OUTPUT.value, identity, overwrite=OVERWRITE.value) as folder:
        runs.export(model, folder)
    print(f"exported: {OUTPUT.value}")


if __name__ == "__main__":
    command.run(main)
