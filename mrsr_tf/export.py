"""Exports a finished run as a SavedModel that needs no code of this package.

    python -m mrsr_tf.export --run_dir=RUNS/dual --output=EXPORTED

Its serving signature takes `volume`, float32 (batch, rows, cols, thick slices, echoes) of raw
scanner intensities, and gives `super_resolved`, float32 with slice_factor times the slices.
EXPORTED/card.json says what the network was trained on and what evaluations measured of it;
`python EXPORTED/check.py` whether it computes on another machine what it computed here:

    python -m mrsr_tf.export --run_dir=RUNS/dual --output=EXPORTED --licence=CC-BY-4.0 --results=RESULTS/quality,RESULTS/t2

--format=weights gives the weights in float16 and the card alone, which this package takes as
--model: so the networks that come with it were made (--run_dir=pretrained is one of them).
"""  # noqa: E501 (commands as one pastes them)

from pathlib import Path

from absl import flags

from mrsr_tf import cli

RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "Folder of a finished run, or pretrained.", required=True
)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
SLICE_FACTOR = flags.DEFINE_integer(
    "slice_factor", None, "Of a network trained on several factors, the one to export."
)
LICENCE = flags.DEFINE_string(
    "licence", None, "Of the weights, for the card; by default what --run_dir's own card says."
)
RESULTS = flags.DEFINE_list("results", [], "Folders of eval.evaluate to sum up in the card.")
FORMAT = flags.DEFINE_enum(
    "format", "saved_model", ["saved_model", "weights"], "For others, or small for this package."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace what the output folder holds.")


def main() -> None:
    """Loads the run and writes the SavedModel."""
    with cli.quiet_imports():
        from mrsr_tf.network.model_card import NOT_STATED
        from mrsr_tf.network.trained_model import load_model
    from mrsr_tf.outputs import output_folder

    model = load_model(RUN_DIR.value, slice_factor=SLICE_FACTOR.value)
    write = model.export
    if FORMAT.value == "weights":
        model = model.to_float16()
        write = model.export_weights
    results = [Path(folder) for folder in RESULTS.value]
    licence = LICENCE.value or model.card.get("licence", NOT_STATED)
    identity = {
        "weights_sha256": model.weights_sha256,
        "slice_factor": model.slice_factor,
        "licence": licence,
        "results": [folder.name for folder in results],
        "format": FORMAT.value,
    }
    with output_folder(OUTPUT.value, identity, overwrite=OVERWRITE.value) as folder:
        write(folder, licence=licence, results=results)
    print(f"exported: {OUTPUT.value}")


if __name__ == "__main__":
    cli.run(main)
