"""Linux capabilities of a file: what its `security.capability` attribute says."""

from __future__ import annotations

import struct

# By number, linux/capability.h.
_CAPABILITIES = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
]


def capability_text(data: bytes) -> str:
    """Return a `security.capability` attribute as `getcap` prints it (linux/capability.h, vfs_cap_data).

    >>> capability_text(bytes.fromhex("0100000200200000000000000000000000000000"))
    'cap_net_raw=ep'
    """
    if len(data) not in {12, 20, 24}:
        return f"unknown ({data.hex()})"
    magic, *words = struct.unpack(f"<{len(data) // 4}I", data)
    permitted, inheritable = words[0], words[1]
    if len(words) > 3:  # noqa: PLR2004 - revision 2 and 3 hold two words each
        permitted, inheritable = permitted | words[2] << 32, inheritable | words[3] << 32
    groups: dict[str, list[str]] = {}
    for number in range(64):
        flags = "e" * (magic & 1) + "i" * (inheritable >> number & 1) + "p" * (permitted >> number & 1)
        if flags.strip("e"):
            name = _CAPABILITIES[number] if number < len(_CAPABILITIES) else str(number)
            groups.setdefault(flags, []).append(f"cap_{name}")
    return " ".join(f"{','.join(names)}={flags}" for flags, names in groups.items()) or "="
