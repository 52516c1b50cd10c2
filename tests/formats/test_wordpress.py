"""wordpress: plugins by the header of their main file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib import audit
from audit_lib.formats import wordpress
from tests.images import oci_dir

PLUGINS = "var/www/html/wp-content/plugins"
AKISMET = """<?php
/**
 * @package Akismet
 */
/*
Plugin Name: Akismet Anti-Spam
Version: 5.0.2
License: GPLv2 or later
*/
"""


def test_plugins_in_folders_and_single_files(tmp_path):
    files = {
        f"{PLUGINS}/akismet/akismet.php": AKISMET,
        f"{PLUGINS}/akismet/class.akismet.php": "<?php class Akismet {}",
        f"{PLUGINS}/hello.php": "<?php\n/**\n * Plugin Name: Hello Dolly\n * Version: 1.7.2\n */",
        f"{PLUGINS}/index.php": "<?php // Silence is golden.",
        "srv/akismet.php": AKISMET,
    }
    oci_dir(tmp_path / "image", layers=[files])
    found = audit(f"oci-dir:{tmp_path / 'image'}")
    rows = found.packages[["format", "name", "version", "licenses", "purl", "file_count", "detail"]].fillna("")
    assert rows.to_numpy().tolist() == [
        ["wordpress", "akismet", "5.0.2", "GPLv2 or later", "pkg:wordpress/akismet@5.0.2", 2, "Akismet Anti-Spam"],
        ["wordpress", "hello", "1.7.2", "", "pkg:wordpress/hello@1.7.2", 1, "Hello Dolly"],
    ]
    assert f"/{PLUGINS}" in set(found.databases["database_path"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"/* Plugin Name: A */", {"Plugin Name": "A"}),
        (b"# Plugin Name:  A ?>\n# Version: 2\n# Version: 3\n", {"Plugin Name": "A", "Version": "2"}),
        (b"Version: 2\n", {}),
        (b"Plugin Name: \n", {}),
        (b" " * 8192 + b"\nPlugin Name: A\n", {}),
    ],
)
def test_a_header_as_wordpress_reads_it(text, expected):
    assert wordpress.parse(text) == expected


@given(st.binary(max_size=300))
def test_any_bytes_are_a_plugin_or_none(data):
    stated = wordpress.parse(b"Plugin Name: " + data)
    assert not stated or stated["Plugin Name"]
