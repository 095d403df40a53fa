"""Exports a finished run as a SavedModel that needs no code of this package.

    python -m mrsr_tf.export --run_dir=RUNS/dual --output=EXPORTED

The input of its serving signature is `volume`, float32 (batch, rows, cols, thick slices, echoes)
of raw scanner intensities; the output is `super_resolved`, float32 with slice_factor times the
slices. EXPORTED/card.json says what the network was trained on and what evaluations measured;
`python EXPORTED/check.py` tests whether another machine computes the same.

    python -m mrsr_tf.export --run_dir=RUNS/dual --output=EXPORTED --licence=CC-BY-4.0 --results=RESULTS/quality,RESULTS/t2

--format=weights writes only the weights in float16 and the card, which this package takes as
--model. The networks that come with it are of this format.
"""  # noqa: E501 (commands as one pastes them)

from pathlib import Path

from absl import flags

from mrsr_tf import cli

RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "Folder of a finished run or of an export, or `pretrained`.", required=True
)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
SLICE_FACTOR = cli.define_slice_factor(
    None,
    "Slice factor of the export, for a network that was trained on several. By default it is 2, "
    "or else the first that the network was trained on.",
)  # fmt: skip
LICENCE = flags.DEFINE_string(
    "licence", None,
    "Licence of the weights, for the card. By default it is that of the card of --run_dir.",
)  # fmt: skip
RESULTS = flags.DEFINE_list(
    "results", [],
    "Output folders of eval.evaluate, separated by commas, to summarize in the card. By default "
    "there are none.",
)  # fmt: skip
FORMAT = flags.DEFINE_enum(
    "format", "saved_model", ["saved_model", "weights"],
    "What to write: a SavedModel for TensorFlow alone, or small files for this package.",
)  # fmt: skip
OVERWRITE = cli.define_overwrite()


def main() -> None:
    """Loads the network and writes it with its card."""
    from mrsr_tf.outputs import check_output, output_folder

    check_output(OUTPUT.value, [RUN_DIR.value, *RESULTS.value])
    with cli.quiet_imports():
        from mrsr_tf.network.model_card import NOT_STATED
        from mrsr_tf.network.trained_model import load_model

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
    output = output_folder(
        OUTPUT.value, identity, command="mrsr_tf.export", overwrite=OVERWRITE.value
    )
    with output as folder:
        write(folder, licence=licence, results=results)
    print(f"exported: {OUTPUT.value}")


if __name__ == "__main__":
    cli.run(main)
