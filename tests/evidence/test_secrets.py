"""Secrets are found by what they look like, and what is told of them does not hold them."""

from __future__ import annotations

import base64
import json
import time

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_lib.evidence import secrets
from audit_lib.evidence.secret_rules import RULES, SIEVE
from tests.seeds import KEYS, TOKENS, letters

PASSWORD = "S3cure-" + letters(9)
# Lines of files of settings, with what in them is secret.
SETTINGS = [
    (".env", f"DB_PASSWORD={PASSWORD}", PASSWORD),
    ("config/.env.production", "API_KEY='9f8a7b6c5d4e3f2a'", "9f8a7b6c5d4e3f2a"),
    ("etc/app.ini", f"password = {PASSWORD}", PASSWORD),
    ("app/config.json", f'{{"clientSecret": "{PASSWORD}"}}', PASSWORD),
    ("app/settings.yaml", f"  auth_token: {PASSWORD}", PASSWORD),
    ("root/.aws/credentials", f"aws_secret_access_key = {(aws := letters(40))}", aws),
    ("root/.netrc", f"machine git.corp login anna password {PASSWORD}", PASSWORD),
    ("root/.npmrc", f"//registry.corp/:_authToken={PASSWORD}", PASSWORD),
    ("root/.docker/config.json", f'{{"auths": {{"hub": {{"auth": "{(login := letters(24))}"}}}}}}', login),
    ("root/.git-credentials", f"https://anna:{PASSWORD}@git.corp", PASSWORD),
    ("root/.m2/settings.xml", f"<password>{PASSWORD}</password>", PASSWORD),
    ("etc/curl.conf", f'header = "Authorization: Bearer {PASSWORD}"', PASSWORD),
    ("root/.kube/config", f"client-key-data: {(inner := base64.b64encode(KEYS[0][1].encode()).decode())}", inner),
    ("srv/app.service", f"Environment=SECRET_KEY_BASE={PASSWORD}", PASSWORD),
]
# Instructions as an image's history has them.
COMMANDS = [
    (f"|1 NPM_TOKEN={PASSWORD} /bin/sh -c npm ci", PASSWORD),
    (f"ENV MYSQL_ROOT_PASSWORD={PASSWORD}", PASSWORD),
    (f"/bin/sh -c #(nop)  ENV MYSQL_ROOT_PASSWORD {PASSWORD}", PASSWORD),
    (f"RUN /bin/sh -c mysql --password={PASSWORD} -e 'select 1'", PASSWORD),
    (f"RUN /bin/sh -c tool --api-key {PASSWORD} run", PASSWORD),
    (f"RUN /bin/sh -c git clone https://anna:{PASSWORD}@git.corp/app.git", PASSWORD),
    (f"RUN /bin/sh -c curl -fsSL -u anna:{PASSWORD} https://corp/file", PASSWORD),
    (f'RUN /bin/sh -c curl -H "Authorization: token {PASSWORD}" https://corp/file', PASSWORD),
    (f"RUN /bin/sh -c echo 'root:{PASSWORD}' | chpasswd", PASSWORD),
    ("ENV DB_PASSWORD=hunter2", "hunter2"),
]
HARMLESS = [
    "RUN /bin/sh -c apt-get install passwd=1:4.13+dfsg1-1 libpam-passwdqc=1.4",
    "RUN /bin/sh -c export TOKEN=$(cat /run/secrets/token) && make",
    "ENV POSTGRES_PASSWORD_FILE=/run/secrets/db",
    "ENV GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
    "ENV PYTHON_SHA256=9ecdf6e3d8e3f1b5a0e2f2a4c9d2a1c1b4e8d7f6a5b4c3d2e1f0a9b8c7d6e5f4",
    "ENV TOKENIZERS_PARALLELISM=false COMPASS=north",
    'CMD ["python3" "-m" "http.server"]',
    "COPY --chown=1000:1000 /app /app # buildkit",
    "RUN /bin/sh -c curl -fsSL https://example.org:8080/a@b -o /tmp/x",
]
CODE = [
    "password = getpass.getpass()",
    'token = "NEWLINE"',
    "self._newline_token = Deb822NewlineAfterValueToken",
    'raise ValueError("password: must not be empty")',
    "http://user:pass@host.com:80/path",
    "if (key.startsWith('-----BEGIN PRIVATE KEY-----')) {",
    "-----BEGIN RSA PRIVATE KEY-----\\nMIIB...\\n-----END RSA PRIVATE KEY-----",
    "secret_name = 'my-secret-name'",
    "sk-learn, npm_config_global_prefix, hf_hub_download, SG.example.com",
]


def hidden(text: str) -> str:
    return secrets.redacted(text, secrets.find(text, "command"))


def told(path: str, text: str) -> list[list]:
    return json.loads(secrets._extract(path, text.encode()) or b"[]")


def is_let_through(text: str) -> bool:
    return pc.match_substring_regex(pa.array([text.encode()], pa.binary()), SIEVE)[0].as_py()


@pytest.mark.parametrize(("rule", "token"), TOKENS, ids=lambda value: value[:14])
def test_a_token_of_a_known_service_is_found_wherever_it_stands(rule, token):
    for path, text in [
        ("srv/app.js", f"const client = connect('{token}');\n"),
        ("srv/notes.md", f"one\ntwo {token}\n"),
        ("srv/.env", f"VALUE={token}\n"),
    ]:
        assert [found[0] for found in told(path, text)] == [rule], path
        assert is_let_through(text)
    assert [found.rule for found in secrets.find(f"RUN /bin/sh -c tool {token}", "command")] == [rule]
    assert [found.rule for found in secrets.setting("VALUE", token)] == [rule]


@pytest.mark.parametrize(("rule", "token"), TOKENS, ids=lambda value: value[:14])
def test_of_a_token_only_what_all_such_tokens_share_is_told(rule, token):
    (found,) = told("srv/app.js", f"x = '{token}'")
    assert found[0] == rule
    assert found[2].endswith("[redacted]")
    public = found[2].removesuffix("[redacted]")
    assert token.startswith(public)
    assert len(public) <= len(token) // 2
    assert hidden(f"a {token} b") == f"a {public}[redacted] b"


@pytest.mark.parametrize(("shown", "text"), KEYS, ids=[f"{number} {shown}" for number, (shown, _) in enumerate(KEYS)])
def test_a_private_key_is_found_and_whether_a_passphrase_protects_it(shown, text):
    kind, _, state = shown.rpartition(", ")
    for path in ("root/.ssh/id", "srv/key.json"):
        assert told(path, f"x\n{text}") == [["private key", 2, f"{kind} {state}".strip(), False]], path
    assert is_let_through(text)
    lines = [line for line in text.replace("\\n", "\n").splitlines() if len(line) > 40]
    assert lines
    assert [line for line in lines if line in hidden(text)] == []


def test_a_key_of_putty_is_found():
    head = "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nPrivate-Lines: 2\n"
    text = f"{head}{letters(64)}\n{letters(20)}\nPrivate-MAC: {letters(40)}\n"
    assert told("root/id.ppk", text) == [["private key", 1, "ssh-rsa not encrypted", False]]
    assert told("root/id.ppk", text.replace("none", "aes256-cbc")) == [["private key", 1, "ssh-rsa encrypted", False]]


@pytest.mark.parametrize(("path", "line", "secret"), SETTINGS, ids=[path for path, _, _ in SETTINGS])
def test_a_password_in_a_file_of_settings_is_found_and_not_told(path, line, secret):
    found = told(path, f"# settings\n{line}\n")
    assert [one[1] for one in found] == [2]
    assert secret not in json.dumps(found)
    assert is_let_through(line)


@pytest.mark.parametrize(("command", "secret"), COMMANDS, ids=[command[:40] for command, _ in COMMANDS])
def test_a_password_in_an_instruction_is_redacted_and_the_rest_stays(command, secret):
    assert hidden(command) == command.replace(secret, "[redacted]")


@pytest.mark.parametrize("command", HARMLESS)
def test_an_instruction_without_a_secret_stays_as_it_is(command):
    assert hidden(command) == command


@pytest.mark.parametrize("line", CODE)
def test_a_program_that_deals_with_secrets_holds_none(line):
    assert told("srv/app.py", f"{line}\n") == []


def test_a_password_in_a_program_is_found_where_it_is_quoted():
    assert told("srv/app.py", f'x = 1\nSECRET_KEY = "{PASSWORD}"\n') == [["password", 2, "SECRET_KEY", False]]
    assert told("srv/app.py", f"secret_key = {PASSWORD}\n") == []


@pytest.mark.parametrize(
    "value", ["", "$OTHER", "${OTHER}", "%OTHER%", "/run/secrets/db", "true", "null", "****", "xxxx", "{{ db }}"]
)
def test_a_variable_that_names_a_secret_and_holds_none_is_left_alone(value):
    assert secrets.setting("DB_PASSWORD", value) == []


@pytest.mark.parametrize(
    "name",
    ["PASSWORD", "PGPASSWORD", "db_pass", "MYSQL_PWD", "API-KEY", "githubToken", "JWT_SECRET_2", "APP_KEY_BASE64"],
)
def test_a_variable_that_names_a_secret_is_one_whatever_its_value_looks_like(name):
    assert [found.shown for found in secrets.setting(name, "changeme")] == [name]


@pytest.mark.parametrize(
    "name",
    ["PWD", "OLDPWD", "PASSWORD_FILE", "TOKEN_URL", "MAX_TOKENS", "GPG_KEY", "KEYBOARD", "BYPASS", "SECRETS_DIR"],
)
def test_a_variable_that_only_sounds_like_a_secret_is_none(name):
    assert secrets.setting(name, "value1") == []


def test_where_a_distribution_puts_what_it_ships_keys_and_tokens_are_looked_for_alone():
    (rule, token), (_, key) = TOKENS[0], KEYS[0]
    text = f"password = '{PASSWORD}'\n{token}\n{key}"
    assert [found[0] for found in told("usr/share/app/settings.ini", text)] == [rule, "private key"]
    assert [found[0] for found in told("usr/local/share/app/settings.ini", text)] == ["password", rule, "private key"]


def test_an_example_of_the_documentation_says_so():
    example = "AKIA" + "IOSFODNN7" + "EXAMPLE"
    assert told("opt/doc.txt", example) == [["AWS access key", 1, "AKIA[redacted]", True]]


def test_a_text_made_to_keep_the_search_busy_ends_soon():
    words = [word for rule in RULES for word in rule.words]
    texts = [
        word * (256 * 1024 // len(word))
        for word in (*words, "password=", "://a:", "-----BEGIN RSA PRIVATE KEY-----\n", "eyJa.")
    ]
    for text in [
        *texts,
        " " * 2**18,
        "-----BEGIN PRIVATE KEY-----" + " " * 2**18,
        "a" * 2**18 + "password",
        "key: " * 2**15,
    ]:
        start = time.process_time()
        secrets._extract(".env", text.encode())
        assert time.process_time() - start < 2, text[:40]


@settings(max_examples=200)
@given(st.binary(max_size=300), st.sampled_from(["srv/.env", "srv/x.py"]))
def test_any_bytes_are_searched(data, path):
    told_of = secrets._extract(path, data)
    assert told_of is None or json.loads(told_of)


@given(st.text(max_size=100))
def test_any_text_of_a_configuration_is_redacted_to_a_text(text):
    assert secrets.redacted(text, secrets.find(text, "command")) is not None
