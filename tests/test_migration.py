"""What a move to a minimal image would break, on small images: each rule alone. What happens in truth: test_moves.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib import Audit, Comparison, audit, compare
from audit_lib.compare.running import Command, carried, commands_of, running_of
from audit_lib.tables import MigrationRisk, check_table
from tests.images import Layer, file, folder, oci_dir, symlink

SH = file("#!/bin/true\n", mode=0o755)  # a program as good as any where only its being there counts
USERS = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv:/bin/false\n"
GROUP = "root:x:0:\nweb:x:102:\nlogs:x:7:web\n"
ACCOUNTS = {"etc/passwd": USERS, "etc/group": GROUP}
# Python as Debian has it: a file with the version in its name, and links to it.
PYTHON = {"usr/bin/python3.11": SH, "usr/bin/python3": symlink("python3.11"), "bin/true": SH}


def image(path: Path, *layers: Layer, **config: Any) -> Audit:
    oci_dir(path, layers, {"config": config})
    return audit(f"oci-dir:{path}")


def moved(
    tmp_path: Path,
    base: Layer,
    minimal: Layer,
    own: Layer | None = None,
    *,
    full: Mapping[str, Any] | None = None,
    target: Mapping[str, Any] | None = None,
    app: Mapping[str, Any] | None = None,
) -> Comparison:
    """Return the comparison of a full image with a minimal one, with an application of `own` files where there are any."""
    made = None if own is None else image(tmp_path / "app", base, own, **{**(full or {}), **(app or {})})
    return compare(
        image(tmp_path / "full", base, **(full or {})), image(tmp_path / "minimal", minimal, **(target or {})), app=made
    )


def told(comparison: Comparison, *severities: str) -> list[tuple[str, ...]]:
    """Return (severity, place, risk, needs) of each row."""
    risks = check_table(MigrationRisk, comparison.migration_risks)
    columns = ["severity", "place", "risk", "needs"]
    rows = [tuple(row) for row in risks[columns].to_numpy().tolist()]
    return [row for row in rows if not severities or row[0] in severities]


def text_of(comparison: Comparison, column: str, **facts: str) -> str:
    risks = comparison.migration_risks
    for name, value in facts.items():
        risks = risks[risks[name] == value]
    (text,) = risks[column]
    return str(text)


def test_nothing_breaks_where_nothing_differs(tmp_path):
    both = moved(
        tmp_path,
        {"bin/sh": SH, "bin/true": SH},
        {"bin/sh": SH, "bin/true": SH},
        full={"Cmd": ["sh"]},
        target={"Cmd": ["sh"]},
    )
    assert told(both) == []
    assert both.knows("migration_risks")


def test_a_shell_form_without_a_shell_is_told_with_its_exec_form(tmp_path):
    cmd = ["/bin/sh", "-c", "exec python3 'my app.py' --port 80"]
    both = moved(
        tmp_path, {"bin/sh": SH, "bin/true": SH, **PYTHON}, PYTHON, full={"Cmd": cmd}, target={"Cmd": ["python3"]}
    )
    assert ("high", "CMD", "shell_missing", "/bin/sh") in told(both)
    assert (
        text_of(both, "what_to_do", risk="shell_missing")
        == 'write it in exec form: CMD ["python3", "my app.py", "--port", "80"]'
    )


def test_a_health_check_needs_its_shell_and_its_commands(tmp_path):
    check = {"Test": ["CMD-SHELL", "curl -f http://localhost/ || exit 1"]}
    base = {"bin/sh": SH, "usr/bin/curl": SH, "bin/true": SH}
    config = {"Cmd": ["/bin/true"], "Healthcheck": check}
    without_curl = moved(
        tmp_path / "a",
        base,
        {"bin/sh": SH, "bin/true": SH},
        {"app": "x"},
        full={"Cmd": ["/bin/true"]},
        app=config,
        target={"Cmd": ["/bin/true"]},
    )
    assert told(without_curl, "high") == [("high", "HEALTHCHECK", "command_missing", "curl")]
    without_shell = moved(
        tmp_path / "b",
        base,
        {"bin/true": SH},
        {"app": "x"},
        full={"Cmd": ["/bin/true"]},
        app=config,
        target={"Cmd": ["/bin/true"]},
    )
    assert told(without_shell, "high") == [("high", "HEALTHCHECK", "shell_missing", "/bin/sh")]
    assert "shell" in text_of(without_shell, "why", place="HEALTHCHECK")


def test_what_was_broken_before_is_no_risk_of_the_move(tmp_path):
    own = {"app/run": file("#!/usr/bin/gone\n", mode=0o755), "app/link": symlink("/nowhere")}
    both = moved(tmp_path, {"bin/true": SH}, {"bin/true": SH}, own, app={"Cmd": ["/app/run"]})
    assert told(both, "high", "medium") == []


def test_a_script_is_followed_through_env_and_its_interpreter(tmp_path):
    base = {
        "usr/bin/env": file("x", mode=0o755),
        "usr/bin/tool": file("#!/usr/bin/perl -w\n", mode=0o755),
        "usr/bin/perl": file("x", mode=0o755),
    }
    own = {"app/run": file("#!/usr/bin/env -S tool --fast\n", mode=0o755)}
    minimal = {name: base[name] for name in ("usr/bin/env", "usr/bin/tool")}
    both = moved(tmp_path, base, minimal, own, app={"Cmd": ["/app/run"]})
    assert told(both, "high") == [("high", "/usr/bin/tool", "interpreter_missing", "/usr/bin/perl")]


def test_scripts_that_run_each_other_end(tmp_path):
    own = {"app/a": file("#!/app/b\n", mode=0o755), "app/b": file("#!/app/a\n", mode=0o755)}
    assert told(moved(tmp_path, {"x": "x"}, {"x": "x"}, own, app={"Cmd": ["/app/a"]}), "high", "medium") == []


def test_a_script_that_is_not_executable_is_not_judged_by_its_first_line(tmp_path):
    base = {"usr/bin/perl": file("x", mode=0o755)}
    own = {"app/module.pl": file("#!/usr/bin/perl\n", mode=0o644), "app/tool.pl": file("#!/usr/bin/perl\n", mode=0o755)}
    both = moved(tmp_path, base, {"x": "x"}, own)
    assert told(both, "medium") == [("medium", "/app/tool.pl", "interpreter_missing", "/usr/bin/perl")]


def test_commands_that_an_entry_script_calls_are_looked_for(tmp_path):
    base = {"bin/sh": SH, "bin/true": SH, "usr/bin/gosu": SH, "usr/bin/envsubst": SH}
    own = {"start.sh": file('#!/bin/sh\nenvsubst < a > b\nexec gosu web "$@"\n', mode=0o755)}
    both = moved(
        tmp_path, base, {"bin/sh": SH, "bin/true": SH, "usr/bin/gosu": SH}, own, app={"Entrypoint": ["/start.sh"]}
    )
    assert told(both, "high", "medium") == [("medium", "/start.sh", "command_missing", "envsubst")]


def test_a_command_outside_of_path_is_told_with_where_it_is(tmp_path):
    both = moved(
        tmp_path,
        {"usr/local/bin/x": SH, "bin/true": SH},
        {"usr/local/bin/x": SH, "bin/true": SH},
        full={"Cmd": ["x"]},
        target={"Env": ["PATH=/usr/bin"], "Cmd": ["x"]},
    )
    assert told(both, "high") == [("high", "CMD", "command_missing", "x")]
    assert text_of(both, "what_to_do", risk="command_missing") == "set PATH, or name it as /usr/local/bin/x"


def test_a_file_is_looked_for_from_the_working_directory(tmp_path):
    own = {"srv/main.py": "x"}
    both = moved(tmp_path, PYTHON, PYTHON, own, full={"WorkingDir": "/srv"}, app={"Cmd": ["python3", "-u", "main.py"]})
    assert told(both, "high", "low") == [
        ("high", "CMD", "command_missing", "main.py"),
        ("low", "WORKDIR", "working_directory_differs", "/srv"),
    ]


@pytest.mark.parametrize(
    "cmd", [["python3", "-c", "0"], ["python3", "-m", "http.server"], ["python3"], ["/bin/sh", "-c", "python3 -V && x"]]
)
def test_an_interpreter_that_is_given_no_file_needs_none(cmd, tmp_path):
    world = {**PYTHON, "bin/sh": SH, "bin/x": SH}
    assert told(moved(tmp_path, world, world, {"a": "x"}, app={"Cmd": cmd}), "high") == []


def test_an_entrypoint_of_the_minimal_image_makes_arguments_of_cmd(tmp_path):
    both = moved(
        tmp_path,
        PYTHON,
        PYTHON,
        {"app.py": "x"},
        app={"Cmd": ["python3", "/app.py"]},
        target={"Entrypoint": ["/usr/bin/python3"]},
    )
    assert told(both, "high", "medium") == [
        ("high", "ENTRYPOINT", "command_missing", "python3"),
        ("medium", "ENTRYPOINT", "entrypoint_differs", "/usr/bin/python3"),
    ]


def test_an_application_with_its_own_entrypoint_does_not_meet_the_bases(tmp_path):
    config = {"Entrypoint": ["python3", "/app.py"]}
    both = moved(tmp_path, PYTHON, PYTHON, {"app.py": "x"}, app=config, target={"Entrypoint": ["/usr/bin/python3"]})
    assert told(both, "high", "medium") == []


def test_a_base_that_states_no_command_leaves_the_application_without(tmp_path):
    both = moved(
        tmp_path,
        {"bin/serve": SH, "bin/true": SH},
        {"bin/serve": SH, "bin/true": SH},
        {"www/index.html": "x"},
        full={"Cmd": ["serve"]},
    )
    assert told(both, "high") == [("high", "CMD", "command_missing", "serve")]


def test_a_user_by_name_has_to_be_there(tmp_path):
    world = {"bin/true": SH, **ACCOUNTS}
    minimal = {"bin/true": SH, "etc/passwd": "root:x:0:0::/root:\n", "etc/group": "root:x:0:\n"}
    lost = moved(tmp_path / "a", world, minimal, {"a": "x"}, app={"User": "web", "Cmd": ["/bin/true"]})
    assert told(lost, "high") == [("high", "USER", "user_missing", "web")]
    group = moved(tmp_path / "b", world, minimal, {"a": "x"}, app={"User": "0:logs", "Cmd": ["/bin/true"]})
    assert told(group, "high") == [("high", "USER", "user_missing", "logs")]
    brought = moved(tmp_path / "c", world, minimal, ACCOUNTS, app={"User": "web", "Cmd": ["/bin/true"]})
    assert told(brought, "high") == []
    number = moved(tmp_path / "d", world, minimal, {"a": "x"}, app={"User": "101", "Cmd": ["/bin/true"]})
    assert told(number, "high", "low") == [("low", "/etc/passwd", "user_missing", "101")]


def test_a_lesser_user_may_not_run_nor_read_what_root_could(tmp_path):
    world = {"bin/true": SH, **ACCOUNTS}
    own = {"app/run": file("x", mode=0o700), "app/key": file("x", mode=0o600, uid=0), "app/ok": file("x", mode=0o644)}
    both = moved(tmp_path, world, world, own, app={"Cmd": ["/app/run"]}, target={"User": "web"})
    assert told(both, "high", "medium") == [
        ("medium", "/app/key", "permission_missing", "read"),
        ("high", "/app/run", "permission_missing", "execute"),
        ("medium", "USER", "user_differs", "101"),
    ]
    assert "and 1 more" in text_of(both, "why", place="/app/key")


def test_a_member_of_a_group_may_what_the_group_may(tmp_path):
    world = {"bin/true": SH, **ACCOUNTS}
    own = {"app/": folder(mode=0o750, gid=7), "app/run": file("x", mode=0o750, gid=7)}
    both = moved(tmp_path, world, world, own, app={"Cmd": ["/app/run"]}, target={"User": "web"})
    assert told(both, "high") == []


def test_unknown_accounts_are_not_missing_ones(tmp_path):
    minimal = {"bin/true": SH, "etc/passwd": symlink("/nowhere"), "etc/group": GROUP}
    both = moved(tmp_path, {"bin/true": SH, **ACCOUNTS}, minimal, {"a": "x"}, app={"User": "web", "Cmd": ["/bin/true"]})
    assert not both.minimal.knows("accounts")
    assert told(both, "high") == []


def test_certificates_are_worth_what_the_application_does_with_them(tmp_path):
    base = {"etc/ssl/certs/ca-certificates.crt": "x", **PYTHON, "bin/sleep": SH}
    minimal = {**PYTHON, "bin/sleep": SH}
    certificates = "/etc/ssl/certs/ca-certificates.crt"

    def severity(name: str, own: Layer, cmd: Sequence[str]) -> str:
        both = moved(tmp_path / name, base, minimal, own, app={"Cmd": cmd})
        return next(row[0] for row in told(both) if row[1:3] == (certificates, "certificates_missing"))

    certifi = {
        "usr/lib/python3/dist-packages/certifi-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: certifi\nVersion: 1\n"
    }
    assert severity("a", {"a.py": "x"}, ["python3", "/a.py"]) == "medium"
    assert severity("b", {"a": "x"}, ["sleep", "1"]) == "low"
    assert severity("c", {"a.py": "x", **certifi}, ["python3", "/a.py"]) == "low"
    empty = {**minimal, "etc/ssl/certs/ca-certificates.crt": ""}
    both = moved(tmp_path / "d", base, empty, full={"Cmd": ["sleep"]}, target={"Cmd": ["sleep"]})
    assert ("medium", certificates, "certificates_missing", certificates) in told(both)
    elsewhere = {**minimal, "etc/pki/tls/certs/ca-bundle.crt": "x"}
    both = moved(tmp_path / "e", base, elsewhere, full={"Cmd": ["sleep"]}, target={"Cmd": ["sleep"]})
    assert (
        text_of(both, "what_to_do", risk="certificates_missing") == "set SSL_CERT_FILE=/etc/pki/tls/certs/ca-bundle.crt"
    )


def test_a_variable_that_names_certificates_which_are_gone(tmp_path):
    base = {"opt/ca.pem": "x", "bin/true": SH}
    both = moved(
        tmp_path, base, {"bin/true": SH}, {"a": "x"}, app={"Cmd": ["/bin/true"], "Env": ["SSL_CERT_FILE=/opt/ca.pem"]}
    )
    assert told(both, "medium") == [("medium", "ENV SSL_CERT_FILE", "certificates_missing", "/opt/ca.pem")]


@pytest.mark.parametrize("zone", ["UTC", "CET-1CEST,M3.5.0,M10.5.0/3", ""])
def test_a_zone_that_needs_no_file_is_not_missed(zone, tmp_path):
    base = {"usr/share/zoneinfo/UTC": "x", "usr/share/zoneinfo/Europe/Berlin": "x", "bin/true": SH}
    both = moved(tmp_path, base, {"bin/true": SH}, {"a": "x"}, app={"Env": [f"TZ={zone}"], "Cmd": ["/bin/true"]})
    assert told(both, "medium") == []
    assert ("low", "/usr/share/zoneinfo", "time_zones_missing", "/usr/share/zoneinfo") in told(both)


def test_a_locale_that_is_gone(tmp_path):
    base = {"usr/lib/locale/de_DE.utf8/LC_CTYPE": "x", "lib/libc.so.6": b"\x7fELF broken", "bin/true": SH}
    minimal = {"lib/libc.so.6": b"\x7fELF broken", "bin/true": SH}
    config = {"Env": ["LANG=de_DE.UTF-8"], "Cmd": ["/bin/true"]}
    both = moved(tmp_path / "a", base, minimal, {"a": "x"}, app=config)
    assert ("low", "ENV LANG", "locale_missing", "de_DE.UTF-8") in told(both)
    musl = moved(tmp_path / "b", base, {"bin/true": SH}, {"a": "x"}, app=config)
    assert "locale_missing" not in {row[2] for row in told(musl)}


def test_variables_are_told_by_name_and_their_values_are_not(tmp_path):
    both = moved(
        tmp_path,
        {"bin/true": SH},
        {"bin/true": SH},
        full={"Env": ["API=value-of-it", "PATH=/opt/x:/bin"], "Cmd": ["/bin/true"]},
        target={"Env": ["PATH=/bin"], "Cmd": ["/bin/true"]},
    )
    assert told(both) == [
        ("info", "ENV API", "environment_differs", "API"),
        ("info", "ENV PATH", "environment_differs", "/opt/x"),
    ]
    assert "value-of-it" not in both.migration_risks.to_csv()


def test_packages_of_another_python_are_not_found(tmp_path):
    newer = {"usr/bin/python3.13": SH, "usr/bin/python3": symlink("python3.13"), "bin/true": SH}
    own = {
        "usr/local/lib/python3.11/dist-packages/flask/__init__.py": "x",
        "app/speed.cpython-311-x86_64-linux-gnu.so": "x",
        "app/main.py": "x",
    }
    called = moved(tmp_path / "a", PYTHON, newer, own, app={"Cmd": ["python3", "/app/main.py"]})
    assert told(called, "high", "medium") == [
        ("medium", "/app/speed.cpython-311-x86_64-linux-gnu.so", "runtime_version_differs", "python3.11"),
        ("high", "/usr/local/lib/python3.11/dist-packages", "runtime_version_differs", "python3.11"),
    ]
    assert "3.13 in /usr" in text_of(called, "why", place="/usr/local/lib/python3.11/dist-packages")
    unused = moved(tmp_path / "b", PYTHON, newer, own, app={"Cmd": ["/bin/true"]})
    assert told(unused, "high") == []


def test_packages_of_a_python_in_another_place_are_not_found(tmp_path):
    built = {"usr/local/bin/python3.11": SH, "usr/local/bin/python3": symlink("python3.11"), "bin/true": SH}
    own = {"opt/venv/bin/python": symlink("/usr/local/bin/python3"), "opt/venv/lib/python3.11/site-packages/a.py": "x"}
    both = moved(tmp_path, built, PYTHON, own, app={"Cmd": ["/opt/venv/bin/python", "-c", "0"]})
    assert told(both, "high", "medium") == [
        ("medium", "/opt/venv/bin/python", "link_target_missing", "/usr/local/bin/python3"),
        ("high", "/opt/venv/lib/python3.11/site-packages", "runtime_version_differs", "python3.11"),
        ("high", "CMD", "command_missing", "/opt/venv/bin/python"),
    ]


def test_packages_of_other_interpreters_with_versions_in_their_folders(tmp_path):
    ruby, php = "usr/lib/ruby/{}/set.rb", "usr/lib/php/{}/opcache.so"
    base = {ruby.format("3.1.0"): "x", php.format("20220829"): "x", "bin/true": SH}
    minimal = {ruby.format("3.3.0"): "x", php.format("20230831"): "x", "bin/true": SH}
    own = {"var/lib/gems/3.1.0/gems/rack-3/rack.rb": "x", php.format("20220829").replace("opcache", "own"): "x"}
    both = moved(tmp_path, base, minimal, own, app={"Cmd": ["/bin/true"]})
    assert told(both, "medium") == [
        ("medium", "/usr/lib/php/20220829", "runtime_version_differs", "PHP's interface 20220829"),
        ("medium", "/var/lib/gems/3.1.0", "runtime_version_differs", "Ruby 3.1.0"),
    ]


def test_an_addon_of_another_node_is_told(tmp_path):
    def node(version: str) -> Layer:
        return {
            "var/lib/dpkg/status": f"Package: nodejs\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\n\n",
            "bin/true": SH,
        }

    own = {"app/node_modules/x/build/x.node": "x"}
    both = moved(tmp_path, node("18.20.4+dfsg-1"), node("20.19.2+dfsg-1"), own, app={"Cmd": ["/bin/true"]})
    assert told(both, "medium") == [
        ("medium", "/app/node_modules/x/build/x.node", "runtime_version_differs", "node 18")
    ]


def test_own_files_land_behind_the_links_of_the_minimal_image(tmp_path):
    base = {"bin/": None, "usr/bin/": None, "bin/true": SH}
    minimal = {"usr/bin/true": SH, "bin": symlink("usr/bin")}
    both = moved(tmp_path, base, minimal, {"bin/own": file("x", mode=0o755)}, app={"Cmd": ["/usr/bin/own"]})
    assert told(both, "high", "medium") == []


def test_own_files_bring_their_folders_along(tmp_path):
    both = moved(
        tmp_path,
        {"opt/tool/bin/": None, "bin/true": SH},
        {"bin/true": SH},
        {"opt/tool/bin/run": file("x", mode=0o755)},
        app={"Cmd": ["/opt/tool/bin/run"]},
    )
    assert told(both, "high") == []


def test_an_application_of_another_base_is_judged_by_what_the_full_image_does_not_have(tmp_path):
    full = image(tmp_path / "full", {"bin/true": SH, "usr/bin/perl": file("x", mode=0o755)})
    app = image(
        tmp_path / "app",
        {"bin/true": SH, "usr/bin/perl": file("x", mode=0o755)},
        {"run": file("#!/usr/bin/perl\n", mode=0o755)},
    )
    other = image(tmp_path / "other", {"bin/true": SH, "usr/bin/perl": file("y", mode=0o755)})
    minimal = image(tmp_path / "minimal", {"bin/true": SH}, Cmd=["/bin/true"])
    assert told(compare(full, minimal, app=app), "medium") == [
        ("medium", "/run", "interpreter_missing", "/usr/bin/perl")
    ]
    both = compare(other, minimal, app=app)
    assert ("info", "FROM", "base_differs", str(other.image["image"][0])) in told(both)
    assert told(both, "medium") == [("medium", "/run", "interpreter_missing", "/usr/bin/perl")]
    assert any("do not begin with those of" in gap for gap in both.gaps)


def test_where_files_are_unknown_the_risks_are_unknown(tmp_path):
    full = image(tmp_path / "full", {"bin/true": SH}, Cmd=["/bin/true"])
    sbom = tmp_path / "image.cdx.json"
    sbom.write_text('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}')
    known = audit(f"sbom:{sbom}")
    for both in (compare(full, known), compare(known, full), compare(full, full, app=known)):
        assert not both.knows("migration_risks")
        assert told(both) == []
        assert any("what" in gap and "would break" in gap for gap in both.gaps)


def test_an_elf_file_that_cannot_be_read_is_said_to_be_unknown(tmp_path):
    own = {"app/run": file(b"\x7fELF" + bytes(range(60)), mode=0o755)}
    both = moved(tmp_path, {"bin/true": SH}, {"bin/true": SH}, own, app={"Cmd": ["/app/run"]})
    assert told(both, "high") == []
    assert told(both, "medium") == [("medium", "/app/run", "unreadable", "/app/run")]


def test_what_stands_in_programs_may_be_unknown(tmp_path):
    base, minimal = {"bin/true": SH, "lib/libc.so.6": b"\x7fELF of full"}, {"bin/true": SH}
    both = moved(tmp_path, base, minimal, {"run": file(b"\x7fELF of its own", mode=0o755)}, app={"Cmd": ["/run"]})
    assert ("medium", "/run", "unreadable", "/run") in told(both)
    blind = replace(both.minimal, binaries=both.minimal.binaries.iloc[:0], unknown=frozenset({"binaries"}))
    unknown = compare(both.full, blind, app=both.app)
    assert {row[2] for row in told(unknown, "high", "medium")} == set()
    assert (
        "minimal: what stands in programs is unknown, so what the move would break is told without their libraries and "
        "interpreters" in unknown.gaps
    )


def test_an_application_that_states_no_command_runs_the_base_s(tmp_path):
    world = {"bin/a": SH, "bin/b": SH, "bin/true": SH}
    check = {"Test": ["CMD", "/bin/true"]}
    both = moved(tmp_path, world, world, {"x": "x"}, full={"Cmd": ["a"], "Healthcheck": check}, target={"Cmd": ["b"]})
    assert told(both) == [
        ("info", "CMD", "entrypoint_differs", "b"),
        ("info", "HEALTHCHECK", "environment_differs", "HEALTHCHECK"),
    ]


def test_a_path_of_two_thousand_folders_is_copied(tmp_path):
    deep = "d/" * 2000 + "run"
    both = moved(tmp_path, {"bin/true": SH}, {"bin/true": SH}, {deep: "x"}, app={"Cmd": ["/bin/true"]})
    assert told(both) == []


def test_the_images_of_a_comparison_with_an_application_are_three(tmp_path):
    both = moved(tmp_path, {"bin/true": SH}, {"bin/true": SH}, {"a": "x"})
    assert both.images["role"].tolist() == ["full", "minimal", "app"]
    assert set(both.databases["role"]) == {"full", "minimal", "app"}


def test_what_an_application_states_itself_shows_where_it_differs_from_its_base():
    full = running_of({"config": {"Cmd": ["a"], "Env": ["A=1", "B=1"], "User": "x", "WorkingDir": "/x"}})
    minimal = running_of({"config": {"Entrypoint": ["m"], "Env": ["A=2", "C=3"], "User": "y"}})
    app = running_of({"config": {"Cmd": ["b"], "Env": ["A=1", "B=2"], "User": "x", "WorkingDir": "/app"}})
    result = carried(full, minimal, app)
    assert (result.entrypoint, result.cmd, result.user, result.folder) == (("m",), ("b",), "y", "/app")
    assert result.env == {"A": "2", "B": "2", "C": "3"}
    entry = running_of({"config": {"Entrypoint": ["e"], "Cmd": ["a"]}})
    assert carried(full, running_of({"config": {"Cmd": ["base"]}}), entry).cmd == ("a",)


@pytest.mark.parametrize(
    ("config", "commands"),
    [
        ({"Cmd": ["a", "b"]}, [("CMD", ("a", "b"))]),
        ({"Entrypoint": ["a"], "Cmd": ["b"]}, [("ENTRYPOINT", ("a", "b"))]),
        ({"Healthcheck": {"Test": ["CMD", "a"]}}, [("HEALTHCHECK", ("a",))]),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "a b"]}}, [("HEALTHCHECK", ("/bin/sh", "-c", "a b"))]),
        (
            {"Healthcheck": {"Test": ["CMD-SHELL", "a"]}, "Shell": ["/bin/bash", "-ec"]},
            [("HEALTHCHECK", ("/bin/bash", "-ec", "a"))],
        ),
        ({"Healthcheck": {"Test": ["NONE"]}}, []),
        ({}, []),
    ],
)
def test_commands_that_a_configuration_states(config, commands):
    assert list(commands_of(running_of({"config": config}))) == [Command(*one) for one in commands]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("Cmd", "Entrypoint", "Env", "User", "WorkingDir", "Healthcheck", "Shell", "ExposedPorts"), JSON
        ),
    )
)
def test_any_configuration_states_something_or_nothing(config):
    running = running_of({"config": config})
    assert all(isinstance(word, str) for command in commands_of(running) for word in command.words)
    assert running.path is not None
