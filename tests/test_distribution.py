"""The distribution and its lifecycle: dates as the vendors' own pages and distro-info-data give them."""

import pytest

from audit_lib.distribution import Distribution, lifecycle, parse


def test_all_that_os_release_states():
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n'
    assert parse(text) == Distribution("debian", "12", "Debian GNU/Linux 12 (bookworm)", "bookworm")


@pytest.mark.parametrize(
    ("distribution", "codename", "end", "extended"),
    [
        (Distribution("debian", "10"), "buster", "2022-09-10", "2024-06-30"),
        (Distribution("ubuntu", "22.04"), "jammy", "2027-06-01", "2032-04-21"),
        (Distribution("alpine", "3.19.1"), None, "2025-11-01", None),
        (Distribution("rhel", "9.4"), "Plow", "2032-05-31", None),
        (Distribution("amzn", "2"), None, "2026-06-30", None),
        (Distribution("opensuse-leap", "15.5"), None, "2024-12-31", None),
    ],
)
def test_until_when_a_release_is_supported(distribution, codename, end, extended):
    assert lifecycle(distribution)[:3] == (codename, end, extended)
    assert lifecycle(distribution).data_utc == "2026-04-25"


@pytest.mark.parametrize(
    "distribution", [Distribution(), Distribution("debian"), Distribution("debian", "120"), Distribution("arch", "1")]
)
def test_a_release_that_is_not_in_the_data_has_no_dates_not_even_that_of_the_data(distribution):
    assert lifecycle(distribution) == (None, None, None, None)
