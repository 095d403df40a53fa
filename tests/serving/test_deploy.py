"""The files in deploy/: the container's entry point, Orthanc's configuration and the services."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
import requests
import yaml
from commands import flags_of
from dicom_studies import write_study
from exams import DESS, REPEAT, write_exam
from orthanc_server import OrthancServer
from random_scans import make_array

DEPLOY = Path(__file__).parents[2] / "deploy"
CREATED = ["InstanceCreationDate", "InstanceCreationTime", "ContentDate", "ContentTime"]


def entrypoint(*arguments, **variables):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, **variables}
    return subprocess.run(
        [DEPLOY / "entrypoint", *arguments], env=environment, capture_output=True, text=True
    )


def derived_headers(folder):
    headers = {file.name: pydicom.dcmread(file) for file in folder.iterdir()}
    for header in headers.values():
        for keyword in CREATED:
            delattr(header, keyword)
    return headers


def test_a_router_gets_what_infer_writes(tmp_path):
    source = write_study(tmp_path / "in", make_array((8, 8, 3)))
    (tmp_path / "out").mkdir()
    folders = {"MERCURE_IN_DIR": str(source), "MERCURE_OUT_DIR": str(tmp_path / "out")}
    assert entrypoint("--method=tci", **folders).returncode == 0
    names = ("--input", source), ("--output", tmp_path / "fine")
    flags = [f"{name}={folder}" for name, folder in names]
    assert entrypoint("mrsr_tf.infer", "--method=tci", *flags).returncode == 0
    assert derived_headers(tmp_path / "out") == derived_headers(tmp_path / "fine")
    assert len(derived_headers(tmp_path / "out")) == 2 * 6


def test_a_router_gets_both_scans_of_a_repeated_dess_in_one_folder(tmp_path):
    source = write_exam(tmp_path / "in", [DESS, REPEAT])
    folders = {"MERCURE_IN_DIR": str(source), "MERCURE_OUT_DIR": str(tmp_path / "out")}
    absent = entrypoint("--method=tci", **folders)
    assert (absent.returncode, absent.stderr) == (1, f"error: expected a folder: {tmp_path}/out\n")
    (tmp_path / "out").mkdir()
    assert entrypoint("--method=tci", **folders).returncode == 0
    series = [header.SeriesNumber for header in derived_headers(tmp_path / "out").values()]
    assert {number: series.count(number) for number in series} == dict.fromkeys(
        (501, 502, 801, 802), len(series) / 4
    )


def test_a_router_gets_one_line_and_no_file_of_a_scan_that_fails(tmp_path):
    source = write_study(tmp_path / "in", make_array((8, 8, 3)))
    (source / "slice001_echo1.dcm").unlink()
    (tmp_path / "out").mkdir()
    folders = {"MERCURE_IN_DIR": str(source), "MERCURE_OUT_DIR": str(tmp_path / "out")}
    ended = entrypoint("--method=tci", **folders)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: expected both echoes of every slice")
    assert not list((tmp_path / "out").iterdir())


def test_the_container_starts_at_the_entry_point():
    dockerfile = (DEPLOY.parent / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["/source/deploy/entrypoint"]' in dockerfile
    assert os.access(DEPLOY / "entrypoint", os.X_OK)


def test_orthancs_configuration_asks_for_the_password_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ORTHANC_USER", "mrsr")
    monkeypatch.setenv("ORTHANC_PASSWORD", "secret")
    configuration = json.loads((DEPLOY / "orthanc.json").read_text())
    here = ("StorageDirectory", "IndexDirectory", "HttpPort", "DicomPort", "RemoteAccessAllowed")
    settings = {key: value for key, value in configuration.items() if key not in (*here, "Plugins")}
    server = OrthancServer(tmp_path, **settings)
    try:
        assert server.session.get(f"{server.url}/system").status_code == 401
        answer = requests.get(f"{server.url}/system", auth=("mrsr", "secret"), timeout=60)
        assert answer.status_code == 200
    finally:
        server.stop()


def test_no_service_starts_without_credentials_and_none_holds_them():
    services = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())["services"]
    for service in services.values():
        for name in ("ORTHANC_USER", "ORTHANC_PASSWORD"):
            assert service["environment"][name].startswith(f"${{{name}:?")
    unit = (DEPLOY / "mrsr-serve.service").read_text()
    assert "EnvironmentFile=/etc/mrsr/credentials" in unit


@pytest.mark.parametrize("name", ["docker-compose.yml", "mrsr-serve.service"])
def test_the_services_call_the_worker_by_flags_that_it_has(name):
    text = (DEPLOY / name).read_text()
    assert "mrsr_tf.serve" in text
    names = set(re.findall(r"--(\w+)=", text.partition("mrsr_tf.serve")[2]))
    assert names <= flags_of("mrsr_tf.serve")
