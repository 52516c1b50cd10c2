"""Policies: what a file may say, and how it is told what is wrong with it."""

import datetime as dt
import hashlib
import threading

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib.compliance import CHECKS, parse_policy, read_policy
from audit_lib.compliance.policy import DEFAULT
from audit_lib.errors import SettingsError

KEYS = "expected one of schema, name, fail_on, fail_on_not_assessable, checks, bases, waivers"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def error(text):
    with pytest.raises(SettingsError) as caught:
        parse_policy(text.encode(), "policy.yml")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_default_policy_says_something_of_every_check():
    policy = read_policy()
    assert (policy.name, policy.path, policy.fail_on, policy.fail_on_not_assessable) == (
        "default",
        "default",
        "high",
        False,
    )
    assert list(policy.settings) == [*dict.fromkeys(policy.settings)]
    assert set(policy.settings) == {check.id for check in CHECKS}
    assert all(setting.run for setting in policy.settings.values())
    assert {check.id: set(check.options) for check in CHECKS} == {
        name: set(setting.options) for name, setting in policy.settings.items()
    }
    assert (policy.bases, policy.waivers) == ((), ())


def test_a_policy_states_only_what_differs():
    text = """
schema: 1
name: shop
fail_on: never
checks:
  image-age: {max_days: 30}
  healthcheck:
    run: false
"""
    policy = parse_policy(text.encode(), "policies/shop.yml")
    assert (policy.name, policy.path, policy.fail_on) == ("shop", "policies/shop.yml", None)
    assert policy.digest == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert dict(policy.settings["image-age"].options) == {"max_days": 30}
    assert (policy.settings["image-age"].severity, policy.settings["image-age"].line) == ("medium", 6)
    assert (policy.settings["healthcheck"].run, policy.settings["healthcheck"].line) == (False, 8)
    assert policy.settings["non-root-user"] == read_policy().settings["non-root-user"]


def test_a_policy_without_a_name_is_called_by_its_file():
    assert parse_policy(b"schema: 1\n", "policies/shop.yml").name == "shop"


def test_the_commented_policy_that_ships_fits_its_own_schema_uncommented(tmp_path):
    lines = DEFAULT.read_text().splitlines()
    start = lines.index("# bases:")
    examples = [
        line.removeprefix("#").removeprefix(" ") for line in lines[start:] if not line.startswith(("# W", "# a"))
    ]
    path = tmp_path / "policy.yml"
    path.write_text("\n".join([*lines[:start], *examples]))
    policy = read_policy(path)
    assert policy.bases[0].name == "debian 12 of 2025-05-20"
    assert policy.waivers[0].until == dt.date(2026, 12, 31)


def test_bases_and_waivers_are_read():
    text = f"""
schema: 1
bases:
  - name: debian
    layers: [{DIGEST}]
waivers:
  - check: healthcheck
    reason: probes of the
      orchestrator
    owner: platform
    until: 2026-12-31
    images: ["docker:shop/*"]
"""
    policy = parse_policy(text.encode(), "policy.yml")
    assert policy.bases == (("debian", (DIGEST,)),)
    (waiver,) = policy.waivers
    assert (waiver.check, waiver.reason, waiver.owner) == ("healthcheck", "probes of the orchestrator", "platform")
    assert (waiver.until, waiver.images, waiver.line) == (dt.date(2026, 12, 31), ("docker:shop/*",), 7)
    assert policy.waiver("healthcheck", "docker:shop/web:1") is waiver
    assert policy.waiver("healthcheck", "docker:other") is None
    assert policy.waiver("image-age", "docker:shop/web:1") is None


def test_of_two_waivers_for_a_check_the_one_that_ends_last_holds():
    one = "  - {check: healthcheck, reason: r, owner: %s, until: %s}\n"
    text = "schema: 1\nwaivers:\n" + one % ("a", "2026-01-01") + one % ("b", "2027-01-01") + one % ("c", "2026-06-01")
    assert parse_policy(text.encode(), "p.yml").waiver("healthcheck", "x").owner == "b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "policy.yml: expected one YAML document, found 0"),
        ("# nothing\n", "policy.yml: expected one YAML document, found 0"),
        ("a: 1\n---\nb: 2\n", "policy.yml: expected one YAML document, found 2"),
        ("[1, 2]", "policy.yml, line 1: a policy: expected a mapping, found a list"),
        ("just text", "policy.yml, line 1: a policy: expected a mapping, found 'just text'"),
        ("name: x\n", "policy.yml, line 1: a policy: expected the key schema"),
        ("schema: 2\n", "policy.yml, line 1: schema: expected 1, found '2'"),
        (
            "schema: 1\n\ncheks:\n  image-age:\n    max_days: 1\n",
            f"policy.yml, line 3: a policy: 'cheks' is unknown (did you mean 'checks'?), {KEYS}",
        ),
        (
            "schema: 1\nchecks:\n  image-age:\n    max_day: 1\n",
            ("policy.yml, line 4: checks.image-age: 'max_day' is unknown (did you mean 'max_days'?), "
            "expected one of severity, run, max_days"),
        ),
        (
            "schema: 1\nchecks:\n  image-age:\n    max_days: ninety\n",
            "policy.yml, line 4: checks.image-age.max_days: expected a whole number, found 'ninety'",
        ),
        (
            "schema: 1\nchecks:\n  image-age:\n    max_days: -1\n",
            "policy.yml, line 4: checks.image-age.max_days: expected a whole number, found '-1'",
        ),
        (
            "schema: 1\nchecks:\n  image-age:\n    severity: grave\n",
            "policy.yml, line 4: checks.image-age.severity: expected one of critical, high, medium, low, found 'grave'",
        ),
        (
            "schema: 1\nchecks:\n  image-age: 90\n",
            "policy.yml, line 3: checks.image-age: expected a mapping, found '90'",
        ),
        (
            "schema: 1\nchecks:\n  files-owned:\n    max_share: 25\n",
            "policy.yml, line 4: checks.files-owned.max_share: expected a share from 0 to 1, found '25'",
        ),
        (
            "schema: 1\nchecks:\n  files-owned:\n    max_share: nan\n",
            "policy.yml, line 4: checks.files-owned.max_share: expected a share from 0 to 1, found 'nan'",
        ),
        (
            "schema: 1\nchecks:\n  size-budget:\n    max_file_bytes: large\n",
            "policy.yml, line 4: checks.size-budget.max_file_bytes: expected bytes such as 512MiB, or none, found 'large'",
        ),
        (
            "schema: 1\nchecks:\n  binaries-hardened:\n    features: [pie, aslr]\n",
            "policy.yml, line 4: checks.binaries-hardened.features: expected one of pie, nx, relro, canary, fortify, found 'aslr'",
        ),
        (
            "schema: 1\nchecks:\n  licenses-allowed:\n    denied: AGPL\n",
            "policy.yml, line 4: checks.licenses-allowed.denied: expected a list, found 'AGPL'",
        ),
        (
            "schema: 1\nchecks:\n  healthcheck:\n    run: no\n",
            "policy.yml, line 4: checks.healthcheck.run: expected one of true, false, found 'no'",
        ),
        (
            "schema: 1\nfail_on: all\n",
            "policy.yml, line 2: fail_on: expected one of critical, high, medium, low, never, found 'all'",
        ),
        (
            "schema: 1\nbases:\n  - name: x\n    layers: [sha256:12]\n",
            "policy.yml, line 4: bases.layers: expected sha256: and 64 hexadecimal digits, found 'sha256:12'",
        ),
        (
            "schema: 1\nbases:\n  - name: x\n    layers: []\n",
            "policy.yml, line 4: bases.layers: expected at least one layer, found a list",
        ),
        (
            "schema: 1\nwaivers:\n  - check: healthcheck\n    reason: r\n    until: 2026-12-31\n",
            "policy.yml, line 3: waivers: expected the key owner",
        ),
        (
            "schema: 1\nwaivers:\n  - {check: healthcheck, reason: '', owner: o, until: 2026-12-31}\n",
            "policy.yml, line 3: waivers.reason: expected a text of 1 to 1,000 characters, found ''",
        ),
        (
            "schema: 1\nwaivers:\n  - {check: healthcheck, reason: r, owner: o, until: 2026-02-30}\n",
            "policy.yml, line 3: waivers.until: expected a day such as 2026-12-31, found '2026-02-30'",
        ),
        (
            "schema: 1\nwaivers:\n  - {check: healthcheck, reason: r, owner: o, until: 2026-W53-4}\n",
            "policy.yml, line 3: waivers.until: expected a day such as 2026-12-31, found '2026-W53-4'",
        ),
        ("schema: 1\nname: [a]\n", "policy.yml, line 2: name: expected a text of 1 to 1,000 characters, found a list"),
        ("schema: 1\nname: a\nname: b\n", "policy.yml, line 3: 'name' stands twice, first on line 2"),
        ("schema: 1\n? [a]\n: b\n", "policy.yml, line 2: expected a name before the colon, found a list"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_file_line_key_and_what_was_expected(text, expected):
    assert error(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "schema: 1\nname: &x a\n",
        "schema: 1\nname: *x\n",
        "schema: 1\nname: !!python/object:os.system a\n",
        "schema: !x 1\n",
    ],
)
def test_anchors_aliases_and_tags_are_refused(text):
    assert "expected plain YAML, found an anchor, an alias or a tag" in error(text)


def test_a_bomb_of_aliases_is_refused_at_its_first_anchor():
    bomb = "a: &a [x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
    )
    assert error(bomb) == "policy.yml, line 1: expected plain YAML, found an anchor, an alias or a tag"


@pytest.mark.parametrize(
    "text", ["[" * 5000, "{a: " * 5000, "- " * 5000, "a:\n" + "".join(" " * n + "- - \n" for n in range(1, 300))]
)
def test_what_is_nested_too_deep_is_refused(text):
    assert "expected no more than 8 levels" in error(text) or "not YAML" in error(text)


def test_more_values_than_any_policy_has_are_refused():
    assert "and 50,000 values" in error("schema: 1\nname: [" + "a, " * 60_000 + "]\n")


def test_a_huge_file_is_refused_by_its_length(tmp_path):
    path = tmp_path / "policy.yml"
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(SettingsError, match="expected a file of at most 1,048,576 bytes"):
        read_policy(path)


def test_a_file_without_end_is_read_no_further_than_a_policy_may_be_long():
    with pytest.raises(SettingsError, match="expected a file of at most"):
        read_policy("/dev/zero")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"schema: 1\nname: \xff\n", "p.yml, line 2: expected text in UTF-8"),
        (b"schema: 1\nname: a\x00\n", "p.yml, line 2: expected text, found a character that YAML does not allow"),
        (b"schema: 1\n\tname: a\n", "p.yml, line 2: not YAML"),
        (b"schema: 1\nname: 'a\n", "p.yml, line 3: not YAML"),
        (b"schema: 1: 2\n", "p.yml, line 1: not YAML"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(data, expected):
    with pytest.raises(SettingsError) as caught:
        parse_policy(data, "p.yml")
    assert str(caught.value).startswith(expected)


def test_a_policy_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(SettingsError, match=r"gone\.yml: cannot be read: No such file or directory"):
        read_policy(tmp_path / "gone.yml")
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read_policy(tmp_path)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_policy_or_the_named_error(data):
    try:
        policy = parse_policy(data, "p.yml")
    except SettingsError as problem:
        assert str(problem).startswith("p.yml")
    else:
        assert policy.settings


@given(
    st.recursive(
        st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    )
)
@settings(max_examples=40, deadline=None)
def test_any_document_is_a_policy_or_the_named_error(document):
    try:
        parse_policy(yaml.safe_dump(document, allow_unicode=True).encode(), "p.yml")
    except SettingsError as problem:
        assert str(problem).startswith("p.yml")


def test_the_default_policy_is_the_same_for_all_threads():
    found = []
    threads = [threading.Thread(target=lambda: found.append(read_policy())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(policy == found[0] for policy in found)
