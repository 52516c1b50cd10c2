"""What the move to a minimal image is said to break, and what happens when Docker runs the moved application."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import pytest

from audit_lib import Audit, Comparison, audit, compare
from tests import real_images
from tests.images import Entry, Layer, file, layer_tar, symlink

pytestmark = [pytest.mark.engine, pytest.mark.real, pytest.mark.slow]

# Images of this run; what another run makes has other names.
PREFIX = f"audit-test-move-{os.getpid()}"
FULL = "application"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An application by its files and instructions, the image that it moves to, and what is expected of the move.

    `breaks`: a risk that must be told, what is needed and how severe it is; None where it works, and nothing high is told.
    `full`, `minimal`: further instructions of the images below.
    """

    target: str
    files: Callable[[Tools], Layer]
    instructions: str
    breaks: tuple[str, str, str] | None
    full: str = ""
    minimal: str = ""


class Tools:
    """Compiles what the applications are made of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def program(self, source: str, *options: str, compiler: str = "gcc") -> Entry:
        """Return an executable out of a line of C."""
        return self.made("run", source, *options, compiler=compiler)

    def made(self, name: str, source: str, *options: str, compiler: str = "gcc") -> Entry:
        """Return what is compiled; it stays under its name, to link with."""
        command = [compiler, "-x", "c", "-", "-O1", "-x", "none", "-o", name, *options]
        subprocess.run(command, input=source.encode(), check=True, cwd=self._folder)
        return file((self._folder / name).read_bytes(), mode=0o755)

    def with_own_library(self, compiler: str = "gcc", folder: str = "app/lib") -> Layer:
        """Return a program that looks for its library beside itself, in `app/lib`."""
        library = self.made("libanswer.so", "int answer(void) { return 42; }\n", "-shared", "-fPIC", compiler=compiler)
        source = "int answer(void);\nint main(void) { return answer() != 42; }\n"
        run = self.program(source, "libanswer.so", "-Wl,-rpath,$ORIGIN/../lib", compiler=compiler)
        return {"app/bin/run": run, f"{folder}/libanswer.so": library}


HELLO = '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n'
ZLIB = "const char *zlibVersion(void);\nint main(void) { return !zlibVersion(); }\n"
BERLIN = "#include <time.h>\nint main(void) { time_t zero = 0; return localtime(&zero)->tm_hour != 1; }\n"
SCRATCH = '#include <stdio.h>\nint main(void) { return !fopen("/tmp/scratch", "w"); }\n'
TMP = "/tmp"  # noqa: S108 - a path in an image
CERTIFICATES = "import ssl, sys\nsys.exit(not ssl.create_default_context().get_ca_certs())\n"
ANSWER = {"usr/local/lib/python3.11/dist-packages/answer.py": "VALUE = 42\n", "app/main.py": "import answer\n"}


def hello(tools: Tools) -> Layer:
    return {"app/hello": tools.program(HELLO)}


PAIRS = {
    "works": Pair(target="only-glibc", files=hello, instructions='CMD ["/app/hello"]', breaks=None),
    "own-library": Pair(
        target="only-glibc", files=Tools.with_own_library, instructions='CMD ["/app/bin/run"]', breaks=None
    ),
    "missing-library": Pair(
        target="only-glibc",
        files=lambda tools: {"app/run": tools.program(ZLIB, "-l:libz.so.1")},
        instructions='CMD ["/app/run"]',
        breaks=("library_missing", "libz.so.1", "high"),
    ),
    "missing-interpreter": Pair(
        target="only-glibc",
        files=lambda _: {"app/run.py": file("#!/usr/bin/env python3\nprint('hello')\n", mode=0o755)},
        instructions='ENTRYPOINT ["/app/run.py"]',
        breaks=("interpreter_missing", "/usr/bin/env", "high"),
    ),
    "shell-form": Pair(
        target="only-glibc",
        files=hello,
        instructions="CMD /app/hello",
        breaks=("shell_missing", "/bin/sh", "high"),
    ),
    "missing-certificates": Pair(
        target="only-python",
        files=lambda _: {"app/main.py": CERTIFICATES},
        instructions='CMD ["python3", "/app/main.py"]',
        breaks=("certificates_missing", "/etc/ssl/certs/ca-certificates.crt", "medium"),
    ),
    "missing-user": Pair(
        target="only-glibc",
        files=hello,
        instructions='USER games\nCMD ["/app/hello"]',
        breaks=("user_missing", "games", "high"),
    ),
    "glibc-on-musl": Pair(
        target="only-musl",
        files=hello,
        instructions='CMD ["/app/hello"]',
        breaks=("libc_differs", "/lib64/ld-linux-x86-64.so.2", "high"),
    ),
    "musl-on-glibc": Pair(
        target="only-glibc",
        files=lambda tools: {"app/hello": tools.program(HELLO, compiler="musl-gcc")},
        instructions='CMD ["/app/hello"]',
        breaks=("libc_differs", "/lib/ld-musl-x86_64.so.1", "high"),
    ),
    "musl-on-musl": Pair(
        target="only-musl",
        files=lambda tools: {"app/hello": tools.program(HELLO, compiler="musl-gcc")},
        instructions='CMD ["/app/hello"]',
        breaks=None,
    ),
    "own-library-on-musl": Pair(
        target="only-musl",
        files=lambda tools: tools.with_own_library("musl-gcc"),
        instructions='CMD ["/app/bin/run"]',
        breaks=None,
    ),
    "library-path-of-the-base": Pair(
        target="only-glibc",
        files=lambda tools: tools.with_own_library(folder="opt/answer"),
        instructions='CMD ["/app/bin/run"]',
        full="ENV LD_LIBRARY_PATH=/opt/answer",
        breaks=("library_missing", "libanswer.so", "high"),
    ),
    "static-on-musl": Pair(
        target="only-musl",
        files=lambda tools: {"app/hello": tools.program(HELLO, "-static")},
        instructions='CMD ["/app/hello"]',
        breaks=None,
    ),
    "time-zone": Pair(
        target="only-glibc",
        files=lambda tools: {"app/run": tools.program(BERLIN)},
        instructions='ENV TZ=Europe/Berlin\nCMD ["/app/run"]',
        breaks=("time_zones_missing", "/usr/share/zoneinfo/Europe/Berlin", "medium"),
    ),
    "older-glibc": Pair(
        target="only-older-glibc",
        files=hello,
        instructions='CMD ["/app/hello"]',
        breaks=("library_version_missing", "libc.so.6:GLIBC_2.34", "high"),
    ),
    "newer-python": Pair(
        target="only-newer-python",
        files=lambda _: ANSWER,
        instructions='CMD ["python3", "/app/main.py"]',
        breaks=("runtime_version_differs", "python3.11", "high"),
    ),
    "same-python": Pair(
        target="only-python",
        files=lambda _: ANSWER,
        instructions='WORKDIR /app\nCMD ["python3", "main.py"]',
        breaks=None,
    ),
    "entrypoint-in-the-way": Pair(
        target="only-python",
        files=lambda _: {"app/main.py": "print('hello')\n"},
        instructions='CMD ["python3", "/app/main.py"]',
        minimal='ENTRYPOINT ["/usr/bin/python3"]',
        breaks=("command_missing", "python3", "high"),
    ),
    "other-working-directory": Pair(
        target="only-python",
        files=lambda _: {"srv/main.py": "print('hello')\n"},
        instructions='CMD ["python3", "main.py"]',
        full="WORKDIR /srv",
        breaks=("command_missing", "main.py", "high"),
    ),
    "other-path": Pair(
        target="only-glibc",
        files=lambda tools: {"opt/bin/hello": tools.program(HELLO)},
        instructions='CMD ["hello"]',
        full="ENV PATH=/opt/bin:/usr/bin:/bin",
        breaks=("command_missing", "hello", "high"),
    ),
    "link-to-nothing": Pair(
        target="only-glibc",
        files=lambda _: {"app/python": symlink("/usr/bin/python3.11")},
        instructions='CMD ["/app/python", "-c", "0"]',
        breaks=("command_missing", "/app/python", "high"),
    ),
    "script-calls-what-is-gone": Pair(
        target="only-musl",
        files=lambda _: {"app/start.sh": file("#!/bin/sh\nset -e\nperl -e 0\necho hello\n", mode=0o755)},
        instructions='CMD ["/app/start.sh"]',
        minimal='RUN ["/bin/busybox", "ln", "-s", "busybox", "/bin/sh"]',
        breaks=("command_missing", "perl", "medium"),
    ),
    "no-tmp": Pair(
        target="only-musl",
        files=lambda tools: {"app/run": tools.program(SCRATCH, "-static")},
        instructions='CMD ["/app/run"]',
        minimal='RUN ["/bin/busybox", "rmdir", "/tmp"]',
        breaks=("temporary_folder_missing", TMP, "medium"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """The images of a pair, and what stood in the way when the application ran on either; "" where nothing did."""

    full: str
    minimal: str
    app: str
    said_on_full: str
    said_on_minimal: str


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What came of a pair, and what was said of it."""

    result: Result
    comparison: Comparison


@pytest.fixture(scope="module")
def engine(docker_client: docker.DockerClient) -> Iterator[Engine]:
    made = Engine(docker_client)
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def moves(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Moved]:
    """Build, run and audit all pairs: one `docker save` holds all images."""
    folder = tmp_path_factory.mktemp("moves")
    tools = Tools(folder)
    files = {name: pair.files(tools) for name, pair in PAIRS.items()}
    bases = {name: engine.imported(name) for name in (FULL, *sorted({pair.target for pair in PAIRS.values()}))}
    with ThreadPoolExecutor(4) as pool:
        results = dict(zip(PAIRS, pool.map(lambda name: engine.move(name, files[name], bases), PAIRS), strict=True))
    archive = engine.saved(folder / "images.tar")
    audits: dict[str, Audit] = {}
    for result in results.values():
        for tag in (result.full, result.minimal, result.app):
            if tag not in audits:
                audits[tag] = audit(f"docker-archive:{archive}:{tag}", store=folder / "store")
    found = {}
    for name, result in results.items():
        comparison = compare(audits[result.full], audits[result.minimal], app=audits[result.app])
        found[name] = Moved(result=result, comparison=comparison)
    return found


class Engine:
    """Builds and runs the images of the pairs, and takes them away again."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._tags: list[str] = []

    def imported(self, name: str) -> str:
        """Return the tag of a root file system."""
        tar = str(real_images.debian_tar(name))
        self._client.api.import_image_from_file(tar, repository=f"{PREFIX}/{name}", tag="base")
        self._tags.append(f"{PREFIX}/{name}:base")
        return self._tags[-1]

    def move(self, name: str, files: Layer, bases: dict[str, str]) -> Result:
        """Build a pair and run the application on both images."""
        pair = PAIRS[name]
        full, minimal = bases[FULL], bases[pair.target]
        if pair.full:
            full = self._built(full, {}, pair.full, f"{name}:full")
        if pair.minimal:
            minimal = self._built(minimal, {}, pair.minimal, f"{name}:minimal")
        app = self._built(full, files, pair.instructions, f"{name}:app")
        moved = self._built(minimal, files, pair.instructions, f"{name}:moved")
        return Result(
            full=full, minimal=minimal, app=app, said_on_full=self._run(app), said_on_minimal=self._run(moved)
        )

    def saved(self, path: Path) -> Path:
        """Save all images but the moved ones into one archive."""
        wanted = [tag for tag in self._tags if not tag.endswith(":moved")]
        subprocess.run(["docker", "save", "-o", path, *wanted], check=True)
        return path

    def remove(self) -> None:
        """Take all images away."""
        subprocess.run(["docker", "image", "rm", "--force", *reversed(self._tags)], check=False, capture_output=True)

    def _built(self, base: str, files: Layer, instructions: str, tag: str) -> str:
        assert not isinstance(files, bytes)
        copy = "COPY copied/ /" if files else ""
        copied = {f"copied/{path}": content for path, content in files.items()}
        context = io.BytesIO(layer_tar({"Dockerfile": f"FROM {base}\n{copy}\n{instructions}\n", **copied}))
        self._client.images.build(
            fileobj=context, custom_context=True, tag=f"{PREFIX}/{tag}", network_mode="none", rm=True, forcerm=True
        )
        self._tags.append(f"{PREFIX}/{tag}")
        return self._tags[-1]

    def _run(self, tag: str) -> str:
        try:
            self._client.containers.run(tag, network_mode="none", remove=True)
        except docker.errors.ContainerError as error:
            return f"exit {error.exit_status}: {error.stderr.decode(errors='replace')}"
        except docker.errors.APIError as error:
            return f"not started: {error.explanation}"
        return ""


@pytest.mark.parametrize("name", PAIRS)
def test_a_move_breaks_what_was_said_and_nothing_else(name: str, moves: dict[str, Moved]) -> None:
    pair, result = PAIRS[name], moves[name].result
    risks = moves[name].comparison.migration_risks
    assert result.said_on_full == ""
    assert (result.said_on_minimal == "") == (pair.breaks is None), result.said_on_minimal
    told = set(zip(risks["risk"], risks["needs"], risks["severity"], strict=True))
    if pair.breaks is None:
        assert [row for row in told if row[2] == "high"] == []
    else:
        assert pair.breaks in told, told
    if result.said_on_minimal.startswith("not started"):
        assert "high" in set(risks["severity"])
