"""maven: Java archives, archives inside them, what is shaded into them."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_lib.distribution import Distribution
from audit_lib.errors import DamagedDatabaseError
from audit_lib.formats import jars, maven
from audit_lib.formats.base import Broken, Found
from audit_lib.purl import purl_of
from tests import syft
from tests.formats.tree import DictTree
from tests.tools import tool, unavailable

MANIFEST = "META-INF/MANIFEST.MF"
GUAVA_POM = "META-INF/maven/com.google.guava/guava/pom.properties"
IO_POM = "META-INF/maven/commons-io/commons-io/pom.properties"
GUAVA = b"#Created by Apache Maven 3.8.7\nversion=31.1-jre\ngroupId=com.google.guava\nartifactId=guava\n"
IO = b"#Generated\r\nartifactId=commons-io\r\ngroupId=commons-io\r\nversion=2.11.0\r\n"
PLAIN = b"Manifest-Version: 1.0\r\nCreated-By: 17 (Debian)\r\n\r\n"


def jar(files: Mapping[str, bytes | str], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def read(files: Mapping[str, bytes], place: str | None = None) -> list[Found | Broken]:
    """Return what the format says of a tree, all of its places unless one is named."""
    kept = {path: content for path, content in files.items() if path.endswith("/pom.properties")}
    evidence = {path: maven._extract(path, data) for path, data in sorted(files.items()) if path not in kept}
    tree = DictTree(kept, {"maven": {path: found for path, found in evidence.items() if found is not None}})
    places = maven.FORMAT.places(tree) if place is None else [place]
    return [found for one in places for found in maven.FORMAT.read(tree, one)]


def summary(files: Mapping[str, bytes]) -> list[tuple[str | None, ...]]:
    return [
        (one.namespace, one.name, one.version, one.detail) if isinstance(one, Found) else (one.path, one.problem)
        for one in read(files)
    ]


def test_an_archive_is_what_its_pom_properties_say():
    path = "usr/share/java/guava.jar"
    data = jar({MANIFEST: PLAIN, GUAVA_POM: GUAVA})
    assert read({path: data}) == [
        Found(name="guava", version="31.1-jre", path=path, namespace="com.google.guava"),
    ]


def test_its_purl_has_the_group_as_namespace():
    (found,) = read({"guava.jar": jar({MANIFEST: PLAIN, GUAVA_POM: GUAVA})})
    assert isinstance(found, Found)
    assert purl_of(maven.FORMAT, found, Distribution()) == "pkg:maven/com.google.guava/guava@31.1-jre"


def test_what_is_shaded_in_an_archive_says_so():
    data = jar({MANIFEST: PLAIN, GUAVA_POM: GUAVA, IO_POM: IO})
    assert summary({"opt/app-1.0.jar": data}) == [
        (None, "app", "1.0", "version from file name"),
        ("com.google.guava", "guava", "31.1-jre", "shaded in app-1.0.jar"),
        ("commons-io", "commons-io", "2.11.0", "shaded in app-1.0.jar"),
    ]
    assert [row[1:] for row in summary({"opt/commons-io-2.11.0.jar": data})] == [
        ("commons-io", "2.11.0", None),
        ("guava", "31.1-jre", "shaded in commons-io-2.11.0.jar"),
    ]


def test_a_longer_name_that_only_begins_alike_is_another_artifact():
    assert [row[1:] for row in summary({"guava-testlib-31.1.jar": jar({MANIFEST: PLAIN, GUAVA_POM: GUAVA})})] == [
        ("guava-testlib", "31.1", "version from file name"),
        ("guava", "31.1-jre", "shaded in guava-testlib-31.1.jar"),
    ]


@pytest.mark.parametrize(
    ("path", "manifest"),
    [
        ("usr/share/java/google-guava.jar", PLAIN),
        ("usr/share/java/jetty9-x.jar", b"Manifest-Version: 1.0\nBundle-Version: 31.1-jre\n"),
        ("var/lib/tomcat/webapps/ROOT.war", PLAIN),
    ],
)
def test_a_renamed_archive_is_still_what_its_only_pom_says(path, manifest):
    # Debian renames: jetty-http is jetty9-http.jar there, geronimo-annotation_1.3_spec has hyphens.
    assert summary({path: jar({MANIFEST: manifest, GUAVA_POM: GUAVA})}) == [
        ("com.google.guava", "guava", "31.1-jre", None)
    ]


def test_archives_inside_are_looked_into_however_deep_they_lie():
    guava, deep = jar({MANIFEST: PLAIN, GUAVA_POM: GUAVA}), jar({MANIFEST: PLAIN, IO_POM: IO})
    war = jar({MANIFEST: PLAIN, "WEB-INF/lib/guava-31.1-jre.jar": guava, "WEB-INF/lib/commons-io-2.11.0.jar": deep})
    ear = jar({MANIFEST: PLAIN, "shop-2.0.war": war}, method=zipfile.ZIP_STORED)
    assert summary({"opt/shop-2.0.ear": ear}) == [
        (None, "shop", "2.0", "version from file name"),
        (None, "shop", "2.0", "in shop-2.0.war"),
        ("com.google.guava", "guava", "31.1-jre", "in shop-2.0.war!/WEB-INF/lib/guava-31.1-jre.jar"),
        ("commons-io", "commons-io", "2.11.0", "in shop-2.0.war!/WEB-INF/lib/commons-io-2.11.0.jar"),
    ]


def test_an_archive_weighs_what_its_file_weighs_and_what_is_in_it_nothing_of_its_own():
    inside = jar({MANIFEST: PLAIN, GUAVA_POM: GUAVA})
    data = jar({MANIFEST: PLAIN, "lib/guava.jar": inside, IO_POM: IO})
    tree = DictTree({})
    claims = {one.name: maven.FORMAT.files(tree, one) for one in read({"opt/app.jar": data}) if isinstance(one, Found)}
    assert claims == {"app": ["opt/app.jar"], "guava": None, "commons-io": None}


@pytest.mark.parametrize(
    ("name", "manifest", "expected"),
    [
        ("ant-1.10.13", "", ("ant", "1.10.13", "version from file name")),
        ("rt", "Implementation-Version: 8u402", ("rt", "8u402", "version from implementation-version")),
        ("rt", "Bundle-Version: 2.0\nSpecification-Version: 1", ("rt", "2.0", "version from bundle-version")),
        ("rt", "Specification-Version: 1.8", ("rt", "1.8", "version from specification-version")),
        ("rt", "Implementation-Version: ${project.version}", ("rt", None, None)),
        ("rt", "", ("rt", None, None)),
    ],
)
def test_without_a_pom_the_name_and_then_the_manifest_state_the_version(name, manifest, expected):
    data = jar({MANIFEST: f"Manifest-Version: 1.0\n{manifest}\n\n"})
    assert [row[1:] for row in summary({f"opt/{name}.jar": data})] == [expected]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("foo-1.0-SNAPSHOT", ("foo", "1.0-SNAPSHOT")),
        ("foo-1.0-beta-2", ("foo", "1.0-beta-2")),
        ("foo-1.0-sources", ("foo", "1.0-sources")),
        ("log4j-1.2-api-2.19.0", ("log4j-1.2-api", "2.19.0")),
        ("scala-library_2.13-3.1", ("scala-library_2.13", "3.1")),
        ("cats-core_2.13", ("cats-core_2.13", None)),
        ("org.eclipse.osgi_3.18.400.v20230509-2241", ("org.eclipse.osgi", "3.18.400.v20230509-2241")),
        ("google-api-v3", ("google-api-v3", None)),
        ("1.0", ("1.0", None)),
        ("-1.0", ("-1.0", None)),
    ],
)
def test_a_files_name_has_a_version_where_its_last_numbers_begin(name, expected):
    assert jars.name_and_version(name) == expected


def test_a_zip_is_no_artifact_but_may_hold_some():
    guava = jar({MANIFEST: PLAIN, GUAVA_POM: GUAVA})
    assert [row[1:] for row in summary({"opt/dist.zip": jar({MANIFEST: PLAIN, "lib/guava.jar": guava})})] == [
        ("guava", "31.1-jre", "in lib/guava.jar")
    ]
    assert summary({"opt/photos.zip": jar({"a.png": b"1"}), "opt/broken.zip": b"PK"}) == []


def test_a_plugin_of_jenkins_states_its_group_and_version():
    stated = b"Manifest-Version: 1.0\nShort-Name: git\nGroup-Id: org.jenkins-ci.plugins\nPlugin-Version: 5.2.1\n"
    assert [row[:3] for row in summary({"plugins/git.jpi": jar({MANIFEST: stated})})] == [
        ("org.jenkins-ci.plugins", "git", "5.2.1")
    ]


def test_a_manifest_states_group_and_licence():
    stated = (
        b"Manifest-Version: 1.0\nImplementation-Vendor-Id: org.bouncycastle\nBundle-License: MIT;link=x, Apache-2.0\n"
    )
    (found,) = read({"opt/bcprov-1.72.jar": jar({MANIFEST: stated})})
    assert isinstance(found, Found)
    assert (found.namespace, found.licenses) == ("org.bouncycastle", ("Apache-2.0", "MIT"))


def test_lines_of_a_manifest_go_on_after_72_bytes_even_within_a_character():
    stated = "Implementation-Version: 1.0-ä\r\n".encode()
    cut = stated.index(b"\xc3") + 1
    assert jars.manifest(stated[:cut] + b"\r\n " + stated[cut:]) == {"implementation-version": "1.0-ä"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("root/.m2/repository/org/slf4j/slf4j-api/1.7.32/slf4j-api-1.7.32.jar", ("org.slf4j", "slf4j-api", "1.7.32")),
        ("usr/share/maven-repo/org/slf4j/slf4j-api/debian/slf4j-api-debian.jar", ("org.slf4j", "slf4j-api", None)),
        (
            "root/.gradle/caches/modules-2/files-2.1/org.slf4j/slf4j-api/1.7.32/cdcff33940d9f2de763bc41ea05a0be5941176c3/a.jar",
            ("org.slf4j", "slf4j-api", "1.7.32"),
        ),
    ],
)
def test_a_place_in_a_repository_states_group_name_and_version(path, expected):
    assert [row[:3] for row in summary({path: jar({MANIFEST: PLAIN})})] == [expected]


def test_one_place_is_a_folder_of_archives_or_a_whole_repository():
    data = jar({MANIFEST: PLAIN})
    paths = ["a.jar", "opt/lib/a.jar", "opt/lib/b.jar", *(f"root/.m2/repository/g/a/{n}/a-{n}.jar" for n in (1, 2))]
    tree = DictTree({}, {"maven": {path: maven._extract(path, data) or b"" for path in paths}})
    assert maven.FORMAT.places(tree) == ["a.jar", "opt/lib", "root/.m2/repository"]
    assert len(list(maven.FORMAT.read(tree, "root/.m2/repository"))) == 2


def test_an_archive_that_was_unpacked_is_found_by_its_pom_properties():
    path = f"srv/app/{GUAVA_POM}"
    assert read({path: GUAVA}) == [
        Found(
            name="guava",
            version="31.1-jre",
            path=path,
            namespace="com.google.guava",
            detail="an archive that was unpacked",
        )
    ]


def test_a_pom_states_what_pom_properties_leave_out():
    folder = "META-INF/maven/org.a/b"
    pom = (
        b'<?xml version="1.0"?><project xmlns="http://maven.apache.org/POM/4.0.0"><parent><groupId>org.a</groupId>'
        b"<version>7</version></parent><artifactId>b</artifactId><dependencies><dependency><version>9</version></dependency>"
        b"</dependencies><licenses><license><name>Apache License,\n Version 2.0</name></license></licenses></project>"
    )
    (found,) = read({"b.jar": jar({MANIFEST: PLAIN, f"{folder}/pom.xml": pom})})
    assert isinstance(found, Found)
    assert (found.namespace, found.name, found.version) == ("org.a", "b", "7")
    assert found.licenses == ("Apache License, Version 2.0",)


def test_a_pom_with_a_document_type_is_refused_before_its_entities_are_told():
    bomb = b'<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><project><version>&b;</version></project>'
    with pytest.raises(DamagedDatabaseError, match="a document type"):
        maven.parse(jar({"META-INF/maven/g/a/pom.xml": bomb}), "a.jar")


def test_an_archive_without_anything_is_still_a_row_with_its_version_not_stated():
    assert read({"opt/empty.jar": jar({})}) == [Found(name="empty", version=None, path="opt/empty.jar")]


WHOLE = jar({MANIFEST: PLAIN, GUAVA_POM: GUAVA, "a.class": b"\xca\xfe\xba\xbe" * 50})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<html>not found</html>", "/opt/a.jar: no end of a zip archive"),
        (WHOLE[:-30], "/opt/a.jar: no end of a zip archive"),
        (WHOLE[100:], "/opt/a.jar: a zip directory of"),
        (WHOLE.replace(b"PK\1\2", b"PK\1\3", 1), "expected an entry of the zip directory"),
        (
            WHOLE.replace(b"PK\3\4", b"PK\3\5", 1),
            "/opt/a.jar: 'META-INF/MANIFEST.MF' in it: expected its header at byte 0",
        ),
        (jar({MANIFEST: PLAIN}, method=zipfile.ZIP_LZMA), "is packed by method 14; expected 0 or 8"),
        (jar({MANIFEST: PLAIN}, method=zipfile.ZIP_STORED).replace(b"17 (D", b"18 (D"), "does not have the checksum"),
    ],
)
def test_damage_is_told(data, said):
    with pytest.raises(DamagedDatabaseError) as error:
        maven._extract("opt/a.jar", data)
    assert said in str(error.value)


def test_a_damaged_archive_inside_is_told_and_its_neighbours_are_read():
    data = jar({MANIFEST: PLAIN, "lib/bad.jar": b"PK\3\4 and so on", "lib/guava.jar": jar({GUAVA_POM: GUAVA})})
    assert summary({"opt/app-1.jar": data}) == [
        (None, "app", "1", "version from file name"),
        ("com.google.guava", "guava", "31.1-jre", "in lib/guava.jar"),
        ("opt/app-1.jar!/lib/bad.jar", "no end of a zip archive; expected one: is it cut, or something else?"),
    ]


def test_archives_in_archives_are_followed_five_deep_and_no_further():
    data = jar({MANIFEST: PLAIN})
    for _ in range(9):
        data = jar({MANIFEST: PLAIN, "a.jar": data})
    found = maven.parse(data, "a.jar")
    assert len(found.artifacts) == 6
    assert [problem for _, problem in found.problems] == ["archives in archives, more than 5 deep: not looked into"]


def test_archives_inside_that_inflate_beyond_the_limit_are_not_inflated():
    small = jar({MANIFEST: PLAIN, GUAVA_POM: GUAVA})
    bomb = jar({"guava.jar": small, "zeros.jar": b"\0" * 10_000_000})
    assert len(bomb) < 15_000
    found = maven.parse(bomb, "b.jar", inside_bytes=1_000_000)
    assert [one.name for one in found.artifacts] == ["b", "guava"]
    ((where, problem),) = found.problems
    left = 1_000_000 - len(small)
    assert where == "zeros.jar"
    assert problem.startswith(f"10,000,000 bytes, {left:,} are left of what the archives in one file may take, ")


def test_a_member_longer_than_it_says_is_damaged():
    data = bytearray(jar({"a.jar": b"\0" * 1000}))
    for signature, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        data[data.index(signature) + place : data.index(signature) + place + 4] = (999).to_bytes(4, "little")
    assert maven.parse(bytes(data), "b.jar").problems == [
        ("a.jar", "'a.jar' in it is longer than the 999 bytes that its archive states")
    ]


def test_an_archive_behind_a_script_that_starts_it_is_read():
    assert [row[1] for row in summary({"opt/guava.jar": b"#!/bin/sh\nexec java -jar $0\n" + WHOLE})] == ["guava"]


def test_an_archive_with_its_directory_in_zip64_is_read():
    # Python writes Zip64 only where it must: the end of the archive is rewritten to state everything there.
    end = WHOLE.rindex(b"PK\5\6")
    size, offset = (int.from_bytes(WHOLE[end + at : end + at + 4], "little") for at in (12, 16))
    long = b"PK\6\6" + (44).to_bytes(8, "little") + b"\x2d\0\x2d\0" + bytes(8)
    long += b"".join(number.to_bytes(8, "little") for number in (3, 3, size, offset))
    locator = b"PK\6\7" + bytes(4) + end.to_bytes(8, "little") + (1).to_bytes(4, "little")
    short = b"PK\5\6" + bytes(4) + b"\xff" * 12 + bytes(2)
    assert maven.parse(WHOLE[:end] + long + locator + short, "guava.jar") == maven.parse(WHOLE, "guava.jar")


@given(st.binary(max_size=200))
def test_any_bytes_are_artifacts_or_damage(data):
    assert_told(data)


@given(st.data())
def test_a_valid_archive_with_any_bytes_changed_is_artifacts_or_damage(data):
    inside = jar({MANIFEST: PLAIN, "lib/guava-31.jar": jar({GUAVA_POM: GUAVA}), IO_POM: IO}, method=zipfile.ZIP_STORED)
    changed = bytearray(inside)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, len(inside) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 20))
    assert_told(bytes(changed[: len(changed) - cut]))


@given(st.binary(max_size=120), st.binary(max_size=120), st.binary(max_size=120))
def test_any_texts_in_an_archive_are_artifacts_or_damage(manifest, pairs, pom):
    folder = "META-INF/maven/g/a"
    assert_told(jar({MANIFEST: b"Implementation-Version: " + manifest, f"{folder}/pom.properties": pairs}))
    assert_told(jar({f"{folder}/pom.properties": b"artifactId=" + pairs, f"{folder}/pom.xml": b"<project>" + pom}))


def assert_told(data: bytes) -> None:
    try:
        found = read({"opt/\udcff /.jar": data})
    except DamagedDatabaseError as error:
        assert "\n" not in str(error)
        return
    for one in found:
        if isinstance(one, Found):
            assert purl_of(maven.FORMAT, one, Distribution()).startswith("pkg:maven/")
            assert one.name
            assert one.version != ""


# Debian's packages, for what renames, shades and repositories look like in the wild.
DEBIAN = [
    "libcommons-io-java",
    "libguava-java",
    "libjetty9-java",
    "libmaven3-core-java",
    "libtomcat9-java",
    "libxalan2-java",
    "ant",
]


@pytest.fixture(scope="module")
def debian_jars(tmp_path_factory) -> Path:
    """Return a folder with the contents of Debian's packages of Java libraries, or skip."""
    for name in ("apt-get", "dpkg"):
        tool(name)
    folder = tmp_path_factory.mktemp("debian")
    fetched = subprocess.run(["apt-get", "download", "-q", *DEBIAN], cwd=folder, capture_output=True, check=False)
    if fetched.returncode:
        unavailable("Debian's archive cannot be reached, or has not these packages")
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True)
    return folder / "root"


def test_debians_java_libraries_give_what_syft_finds(debian_jars):
    files = {
        str(path.relative_to(debian_jars)): path.read_bytes()
        for path in sorted(debian_jars.rglob("*.jar"))
        if not path.is_symlink()
    }
    ours = {(one.name, one.version, one.path) for one in read(files) if isinstance(one, Found)}
    theirs = {
        (name, None if version == "UNKNOWN" else version, path)
        for name, version, path in syft.syft_packages(f"dir:{debian_jars}", "java-archive-cataloger")
    }
    # Syft takes the last word of Jetty's symbolic names ("client", "server;singleton:=true") and Debian's names of
    # files ("maven3-core") for artifacts of their own; each of these archives states one POM, jetty-alpn-client.
    missing = {
        (name, version, path)
        for name, version, path in theirs - ours
        if not path.startswith(("usr/share/java/jetty9-", "usr/share/java/maven3-"))
    }
    assert missing == set()
    jetty = {name for name, _, path in ours if path.startswith("usr/share/java/jetty9-")}
    assert {"jetty-server", "jetty-alpn-client", "http2-hpack"} <= jetty
    assert len(theirs) > 60


def test_syft_finds_the_same_in_an_application_of_spring_boot(tmp_path):
    shop = b"version=2.0\ngroupId=com.acme\nartifactId=shop\n"
    data = jar(
        {
            MANIFEST: PLAIN,
            "META-INF/maven/com.acme/shop/pom.properties": shop,
            "BOOT-INF/lib/guava-31.1-jre.jar": jar({MANIFEST: PLAIN, GUAVA_POM: GUAVA}),
            "BOOT-INF/lib/plain-1.2.jar": jar({MANIFEST: PLAIN, IO_POM: IO}),
        },
        method=zipfile.ZIP_STORED,
    )
    (tmp_path / "shop-2.0.jar").write_bytes(data)
    ours = {(one.name, one.version) for one in read({"shop-2.0.jar": data}) if isinstance(one, Found)}
    theirs = syft.syft_packages(f"dir:{tmp_path}", "java-archive-cataloger")
    assert ours == {(name, version) for name, version, _ in theirs}
    assert ours == {("shop", "2.0"), ("guava", "31.1-jre"), ("plain", "1.2"), ("commons-io", "2.11.0")}


def test_evidence_is_json_that_states_what_was_found():
    evidence = maven._extract("guava.jar", WHOLE)
    assert evidence is not None
    assert json.loads(evidence)["artifacts"][0]["version"] == "31.1-jre"
