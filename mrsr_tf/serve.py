"""Works beside an Orthanc server: adds super-resolved series and T2 maps to its DESS studies.

    python -m mrsr_tf.serve --orthanc=http://localhost:8042
    python -m mrsr_tf.serve --orthanc=https://pacs.example:8042 --tls_ca=ca.pem --destination=PACS

The user and password come from the environment variables ORTHANC_USER and ORTHANC_PASSWORD, or from
the netrc file that the variable NETRC names. SIGTERM ends the worker, and neither that nor a kill
loses anything. It needs the package's extra `node`; docs/pacs.md describes the whole installation.
"""

import os
import signal
import sys

from absl import flags, logging

from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.upsampler_flags import UpsamplerFlags

ORTHANC = flags.DEFINE_string("orthanc", None, "URL of the Orthanc server.", required=True)
DESTINATION = flags.DEFINE_string(
    "destination",
    None,
    "Modality that derived series are also sent to, by its name in Orthanc. By default nothing is "
    "sent.",
)
TLS_CA = flags.DEFINE_string(
    "tls_ca",
    None,
    "PEM file of the server's certificate authority. By default public authorities are trusted.",
)
TLS_CERT = flags.DEFINE_string(
    "tls_cert", None, "PEM file of the worker's own certificate. By default it shows none."
)
TLS_KEY = flags.DEFINE_string(
    "tls_key", None, "PEM file of the key of --tls_cert. By default --tls_cert holds it."
)
UPSAMPLER = UpsamplerFlags()


def main() -> None:
    """Loads the model and runs the worker."""
    try:
        import requests

        from mrsr_tf.serving import Orthanc, Worker
    except ModuleNotFoundError as error:
        if error.name != "requests":
            raise
        raise InputError("expected requests: pip install 'mrsr-tf[node]'") from None
    if "@" in ORTHANC.value:
        raise InputError("expected user and password in the environment, got them in --orthanc")
    session = requests.Session()
    if "ORTHANC_USER" in os.environ:  # otherwise requests looks into the netrc file
        session.auth = os.environ["ORTHANC_USER"], os.environ.get("ORTHANC_PASSWORD", "")
    session.verify = TLS_CA.value or True
    if TLS_CERT.value:  # a PEM file may hold the key, too
        session.cert = TLS_CERT.value, TLS_KEY.value or TLS_CERT.value
    upsampler = UPSAMPLER.choose()
    logging.set_verbosity(max(logging.get_verbosity(), logging.INFO))
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    Worker(Orthanc(ORTHANC.value.rstrip("/"), session), upsampler, DESTINATION.value).run()


if __name__ == "__main__":
    cli.run(main)
