"""The command `mrsr_tf.serve` beside a real Orthanc: whole, killed, and refused."""

import json
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pydicom
import pytest
from dicom_studies import SECRETS, write_study
from orthanc_server import OrthancServer, files_of, tool, until
from random_scans import make_array

from mrsr_tf.serving import MAX_ATTEMPTS

DERIVED = ["Sag DESS MRSR T2 map", "Sag DESS MRSR echo 1", "Sag DESS MRSR echo 2"]
CREATED = ["InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime"]
PASSWORD = "none of Orthanc's"
STUDIES = int(os.environ.get("MRSR_STUDIES", "10"))  # of the two long tests
SECURE = {"AuthenticationEnabled": True, "RegisteredUsers": {"worker": "secret"}}


class Serve:
    """`python -m mrsr_tf.serve` and what it prints."""

    def __init__(self, url, log: Path, *flags, **environment):
        self.log = log
        self.call = [sys.executable, "-m", "mrsr_tf.serve", f"--orthanc={url}", "--method=tci"]
        self.call += flags
        self.environment = {**os.environ, "TMPDIR": str(log.parent), **environment}
        self.process = None

    def start(self):
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.call, stdout=log, stderr=log, env=self.environment)
        return self

    def text(self):
        return self.log.read_text()

    def ended(self):
        """The exit code and the last line, after it ended by itself."""
        return self.process.wait(120), self.text().splitlines()[-1]

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def serve(tmp_path):
    """Starts workers, which end with the test."""
    workers = []

    def start(url, *flags, **environment):
        log = tmp_path / f"worker{len(workers)}" / "log"
        log.parent.mkdir()
        workers.append(Serve(url, log, *flags, **environment).start())
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


@pytest.fixture
def server(tmp_path):
    """Starts servers with settings of their own, which end with the test."""
    servers = []

    def start(**settings):
        folder = tmp_path / f"orthanc{len(servers)}"
        folder.mkdir()
        servers.append(OrthancServer(folder, **settings))
        return servers[-1]

    yield start
    for running in servers:
        running.stop(signal.SIGKILL)


def entries(server):
    """The entry of each study that has one."""
    return [
        server.get(f"studies/{study}/metadata/4747")
        for study in server.get("studies")
        if "4747" in server.get(f"studies/{study}/metadata")
    ]


def outcomes(server):
    """The outcome of each study that has one."""
    return [entry["outcome"] for entry in entries(server) if entry["outcome"]]


def derived_series(server):
    """The descriptions of the derived series of each study, with their numbers of images."""
    found = []
    for study in server.get("studies"):
        series = server.get(f"studies/{study}/series")
        names = [(s["MainDicomTags"]["SeriesDescription"], len(s["Instances"])) for s in series]
        found.append(sorted(name for name in names if name[0] != "Sag DESS"))
    return found


def without_times(header):
    for keyword in CREATED:
        delattr(header, keyword)
    return header


def command(*arguments):
    subprocess.run([sys.executable, "-m", *arguments], check=True, capture_output=True)


def test_a_study_sent_by_c_store_comes_back_as_infer_and_t2map_write_it(orthanc, serve, tmp_path):
    source = write_study(tmp_path / "source", make_array((16, 16, 3)))
    worker = serve(orthanc.url)
    orthanc.send(source)
    until(lambda: outcomes(orthanc) == ["added 3 series of 18 images"])
    assert derived_series(orthanc) == [[(name, 6) for name in DERIVED]]

    fine = tmp_path / "fine"
    command("mrsr_tf.infer", f"--input={source}", f"--output={fine}", "--method=tci")
    command("eval.t2map", f"--input={fine}", f"--output={tmp_path / 't2'}")
    written = [pydicom.dcmread(file) for file in fine.iterdir()]
    written += [pydicom.dcmread(file) for file in (tmp_path / "t2" / "dicom").iterdir()]
    images = orthanc.images()
    for header in written:
        file = tmp_path / "image"
        file.write_bytes(images[header.SOPInstanceUID])
        assert without_times(pydicom.dcmread(file)) == without_times(header)
        report = subprocess.run(
            [tool("dciodvfy", "dicom3tools"), file], capture_output=True, text=True
        )
        assert "Error" not in report.stderr
    assert len(images) == 6 + len(written)

    assert not any(secret in worker.text() for secret in SECRETS)
    assert len(worker.text().splitlines()) == 2
    worker.process.terminate()
    assert worker.process.wait(60) == 0
    assert [entry.name for entry in worker.log.parent.iterdir()] == ["log"]


def test_the_derived_series_are_fetched_over_dicomweb(orthanc, serve, tmp_path):
    if not json.loads((orthanc.folder / "orthanc.json").read_text())["Plugins"]:
        pytest.skip("Orthanc's DICOMweb plugin (Debian package orthanc-dicomweb) is not installed")
    serve(orthanc.url)
    source = write_study(tmp_path / "source", make_array((8, 8, 2)))
    orthanc.send(source)
    until(lambda: outcomes(orthanc))
    study = pydicom.dcmread(files_of(source)[0]).StudyInstanceUID
    series = orthanc.get(f"dicom-web/studies/{study}/series?includefield=SeriesDescription")
    names = {item["0008103E"]["Value"][0]: item["0020000E"]["Value"][0] for item in series}
    assert sorted(names) == ["Sag DESS", *DERIVED]
    answer = orthanc.request("GET", f"dicom-web/studies/{study}/series/{names[DERIVED[0]]}")
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].strip('"').split(";")[0]
    parts = answer.content.split(b"--" + boundary.encode())[1:-1]
    stored = orthanc.images()
    for part in parts:
        file = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        (tmp_path / "image").write_bytes(file)
        header = pydicom.dcmread(tmp_path / "image")
        (tmp_path / "image").write_bytes(stored[header.SOPInstanceUID])
        assert header == pydicom.dcmread(tmp_path / "image")
    assert len(parts) == 4


@pytest.mark.slow
def test_many_studies_come_back_exactly_once_through_kills_and_a_restart(server, serve, tmp_path):
    """Workers in turn are killed at random moments, and the server is restarted once.

    No study is in work at three kills, at which the worker would give it up.
    """
    orthanc, generator = server(), random.Random(0)
    worker = serve(orthanc.url)
    studies = [
        write_study(tmp_path / f"study{number}", make_array((8, 8, 2), seed=number))
        for number in range(STUDIES)
    ]
    sender = threading.Thread(target=orthanc.send, args=studies)
    sender.start()
    sender.join()
    kills = 0
    for count in range(STUDIES):
        until(lambda count=count: len(outcomes(orthanc)) > count)
        time.sleep(generator.uniform(0, 0.3))
        if kills == 5 or any(entry["attempts"] >= MAX_ATTEMPTS - 1 for entry in entries(orthanc)):
            continue
        worker.kill()
        kills += 1
        if kills == 2:
            orthanc.stop()
            worker.start()
            time.sleep(2)
            orthanc.start()
        else:
            worker.start()
    assert kills >= 3
    until(lambda: outcomes(orthanc) == ["added 3 series of 12 images"] * STUDIES)
    assert derived_series(orthanc) == [[(name, 4) for name in DERIVED]] * STUDIES
    assert len(orthanc.get("instances")) == STUDIES * (4 + 12)
    changes = orthanc.get("changes?limit=100000")["Changes"]
    assert sum(change["ChangeType"] == "NewInstance" for change in changes) == STUDIES * (4 + 12)


@pytest.mark.slow
def test_two_workers_on_one_server_make_each_study_once(orthanc, serve, tmp_path):
    for _ in range(2):
        serve(orthanc.url)
    orthanc.send(
        *(
            write_study(tmp_path / f"study{number}", make_array((8, 8, 2), seed=number))
            for number in range(6)
        )
    )
    until(lambda: outcomes(orthanc) == ["added 3 series of 12 images"] * 6)
    time.sleep(5)
    assert derived_series(orthanc) == [[(name, 4) for name in DERIVED]] * 6


@pytest.mark.slow
def test_the_memory_of_the_worker_does_not_grow(orthanc, serve, tmp_path):
    """The figures are printed, one for each five studies."""
    worker, sizes = serve(orthanc.url), {}
    for number in range(STUDIES):
        orthanc.send(write_study(tmp_path / f"{number}", make_array((32, 32, 4), seed=number)))
        if number % 5 == 4:
            until(lambda number=number: len(outcomes(orthanc)) == number + 1, 300)
            status = Path(f"/proc/{worker.process.pid}/status").read_text()
            sizes[number + 1] = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    print(", ".join(f"{studies} studies: {size:.1f} MiB" for studies, size in sizes.items()))
    assert max(sizes.values()) < 1.1 * sizes[5]


def test_derived_series_are_sent_to_a_modality_once_it_can_be_reached(server, serve, tmp_path):
    pacs = server(DicomAlwaysAllowStore=True, DicomCheckModalityHost=False)
    orthanc = server(DicomModalities={
        "test": ["STORESCU", "127.0.0.1", 1], "PACS": ["ORTHANC", "127.0.0.1", pacs.dicom],
    })  # fmt: skip
    pacs.stop()
    worker = serve(orthanc.url, "--destination=PACS")
    orthanc.send(write_study(tmp_path / "study", make_array((8, 8, 2))))
    until(lambda: "modalities/PACS/store, got status" in worker.text())
    pacs.start()
    worker.kill()
    worker.start()
    until(lambda: "sent to PACS" in worker.text())
    assert derived_series(pacs) == [[(name, 4) for name in DERIVED]]


def test_an_unknown_destination_is_refused(orthanc, serve):
    worker = serve(orthanc.url, "--destination=ELSEWHERE")
    assert worker.ended() == (1, "error: expected one of Orthanc's modalities, got 'ELSEWHERE'")


# Trust


def test_credentials_come_from_the_environment_or_a_netrc_file(server, serve, tmp_path):
    orthanc = server(**SECURE)
    orthanc.session.auth = "worker", "secret"
    environment = {"ORTHANC_USER": "worker", "ORTHANC_PASSWORD": "secret"}
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login worker password secret\n")
    for variables in (environment, {"NETRC": str(tmp_path / "netrc")}):
        worker = serve(orthanc.url, **variables)
        until(lambda worker=worker: "watching the studies" in worker.text())
        assert "secret" not in worker.text()


def test_a_wrong_password_is_refused_in_one_line_that_does_not_show_it(server, serve):
    orthanc = server(**SECURE)
    orthanc.session.auth = "worker", "secret"
    worker = serve(orthanc.url, ORTHANC_USER="worker", ORTHANC_PASSWORD=PASSWORD)
    code, line = worker.ended()
    assert code == 1
    assert line.startswith(
        "error: expected a user and password that Orthanc accepts, got status 401"
    )
    assert len(worker.text().splitlines()) == 1
    assert PASSWORD not in worker.text()


def test_a_password_on_the_command_line_is_refused(serve):
    worker = serve("http://worker:secret@127.0.0.1:1")
    code, line = worker.ended()
    assert code == 1
    assert "expected user and password in the environment" in line
    assert "secret" not in worker.text()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, certificates that it signed for a server and a client, and an untrusted one."""
    folder, openssl = tmp_path_factory.mktemp("tls"), tool("openssl", "openssl")
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"

    def run(call):
        subprocess.run([openssl, *call.split()], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "untrusted"):
        run(f"req -x509 {key} -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        run(f"req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}")
        run(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem "
            "-days 2 -extfile names"
        )
    return folder


def client_flags(folder, name, authority="ca"):
    return [
        f"--tls_ca={folder / authority}.pem",
        f"--tls_cert={folder / name}.pem",
        f"--tls_key={folder / name}.key",
    ]


@pytest.fixture
def secure_url(orthanc, certificates):
    """A proxy before Orthanc, with TLS, that asks its clients for certificates.

    Orthanc can do so itself, but Debian's 1.10.1 crashes when a client shows its certificate.
    """

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = orthanc.session.get(f"{orthanc.url}{self.path}")
            self.send_response(answer.status_code)
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *arguments):
            pass

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.socket = context.wrap_socket(
        proxy.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{proxy.server_port}"
    proxy.shutdown()


def test_both_sides_trust_each_others_certificates(serve, secure_url, certificates):
    worker = serve(secure_url, *client_flags(certificates, "client"))
    until(lambda: "watching the studies" in worker.text())


@pytest.mark.parametrize(("name", "authority"), [("client", "untrusted"), ("untrusted", "ca")])
def test_an_untrusted_certificate_is_refused_in_one_line(
    serve, secure_url, certificates, name, authority
):
    worker = serve(secure_url, *client_flags(certificates, name, authority))
    code, line = worker.ended()
    assert code == 1
    assert line.startswith("error: expected TLS certificates that both sides trust")
    assert len(worker.text().splitlines()) == 1


# Servers that do not do what they should


def test_a_full_server_is_one_line_and_an_entry_and_holds_no_half_of_a_series(
    server, serve, tmp_path
):
    orthanc = server(MaximumStorageSize=1)
    source = write_study(tmp_path / "study", make_array((128, 128, 10)))
    orthanc.send(source)
    (patient,) = orthanc.get("patients")
    orthanc.request("PUT", f"patients/{patient}/protected", data="1")
    worker = serve(orthanc.url)
    (outcome,) = until(lambda: outcomes(orthanc))
    assert outcome.startswith("nothing added: expected Orthanc to POST instances, got status")
    assert derived_series(orthanc) == [[]]
    assert sum("nothing added" in line for line in worker.text().splitlines()) == 1


def test_an_absent_server_is_waited_for_with_growing_pauses(server, serve, tmp_path):
    orthanc = server()
    orthanc.stop()
    worker = serve(orthanc.url)
    until(lambda: "next try in 4 s" in worker.text())
    assert [line.split()[-2] for line in worker.text().splitlines()] == ["1", "2", "4"]
    orthanc.start()
    until(lambda: "watching the studies" in worker.text())


def test_a_server_of_an_older_version_is_refused(serve):
    class Old(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"Version": "1.5.4", "ApiVersion": 1.4}')

        def log_message(self, *arguments):
            pass

    old = HTTPServer(("127.0.0.1", 0), Old)
    threading.Thread(target=old.serve_forever, daemon=True).start()
    worker = serve(f"http://127.0.0.1:{old.server_port}")
    assert worker.ended() == (1, "error: expected Orthanc 1.9.2 or later, got 1.5.4")
    old.shutdown()


def test_a_model_that_cannot_be_loaded_is_one_line(serve, tmp_path):
    worker = serve("http://127.0.0.1:1", "--method=mrsr", f"--model={tmp_path}")
    code, line = worker.ended()
    assert code == 1
    assert line.startswith("error: expected the folder of a finished")
    assert "Traceback" not in worker.text()
