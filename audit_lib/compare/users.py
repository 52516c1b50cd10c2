"""Who a container runs as, and what that user has and may do before and after the move.

Sources: OCI image-spec, config.md (User); what Docker does with names, ids and supplementary groups (moby/sys/user,
GetExecUser); passwd(5), group(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from audit_lib.compare.faults import Fault, Rated
from audit_lib.compare.programs import Identity, Programs
from audit_lib.compare.world import World

_ROOT = 0
_FIRST_FREE_PORT = 1024


def identity_of(world: World, stated: str) -> Identity | str | None:
    """Return who a USER instruction stands for in a world: the ids, or the name that is not there; None where that is not known.

    `stated` is `name`, `id`, `name:group` … as in the configuration; "" is root.
    """
    name, _, group = stated.partition(":")
    if world.users is None or world.groups is None:
        return None
    user = world.users.get(name) if name else world.users.get("root")
    if user is None and (name.isdecimal() or not name):
        uid = int(name) if name else _ROOT
        same = next((one for one in world.users.values() if one.uid == uid), None)
        ids = (uid, same.gid if same is not None else _ROOT)
    elif user is None:
        return name
    else:
        ids = (user.uid, user.gid)
    if not group:
        listed = {one.gid for one in world.groups.values() if name in one.members}
        return Identity(ids[0], frozenset({ids[1], *listed}))
    if group.isdecimal():
        return Identity(ids[0], frozenset({int(group)}))
    known = world.groups.get(group)
    return group if known is None else Identity(ids[0], frozenset({known.gid}))


def user_faults(before: Programs, after: Programs, own: Iterable[str]) -> Iterator[Rated]:
    """Yield what the user has or may do before the move, and not after it; `own` are the application's own paths."""
    earlier = identity_of(before.world, before.running.user)
    later = identity_of(after.world, after.running.user)
    if isinstance(later, str) and not isinstance(earlier, str):
        yield Rated(
            "high",
            Fault(
                "user_missing",
                "USER",
                later,
                f"the container is to run as {after.running.user}, and {later} is in neither /etc/passwd nor /etc/group",
                "state USER by numbers, or copy /etc/passwd and /etc/group from the build",
            ),
        )
    if not isinstance(earlier, Identity) or not isinstance(later, Identity):
        return
    yield from _differs(earlier, later, after)
    yield from _unnamed(earlier, later, before.world, after.world)
    yield from _home(earlier, later, before.world, after.world)
    if later.uid != _ROOT:
        yield from _may_not_read(before, after, own)


def _differs(earlier: Identity, later: Identity, after: Programs) -> Iterator[Rated]:
    if earlier.uid != later.uid:
        is_lesser = earlier.uid == _ROOT
        yield Rated(
            "medium" if is_lesser else "low",
            Fault(
                "user_differs",
                "USER",
                str(later.uid),
                f"the container runs as user {later.uid}, no longer as {earlier.uid}"
                + (": it may not write where root alone may, nor install anything" if is_lesser else ""),
                "give the files that it writes to this user (COPY --chown), or state USER in the application's own build",
            ),
        )
        ports = [port for port in after.running.ports if port < _FIRST_FREE_PORT]
        if is_lesser and ports:
            listed = ", ".join(map(str, ports))
            yield Rated(
                "low",
                Fault(
                    "user_differs",
                    "EXPOSE",
                    listed,
                    f"ports below 1024 ({listed}) are root's unless the engine opens them to all, as Docker does since 20.10",
                    "listen on a higher port, or grant CAP_NET_BIND_SERVICE",
                ),
            )


def _unnamed(earlier: Identity, later: Identity, before: World, after: World) -> Iterator[Rated]:
    if _name(before, earlier) is not None and _name(after, later) is None and after.users:
        yield Rated(
            "low",
            Fault(
                "user_missing",
                "/etc/passwd",
                str(later.uid),
                f"user {later.uid} has no name in /etc/passwd: programs that ask for the user's name or home folder fail",
                "add the user to /etc/passwd, or set HOME and USER",
            ),
        )


def _home(earlier: Identity, later: Identity, before: World, after: World) -> Iterator[Rated]:
    home, left = _home_of(before, earlier), _home_of(after, later)
    if home is not None and before.folder(home) and left is not None and not after.folder(left):
        yield Rated(
            "low",
            Fault(
                "user_differs",
                left,
                left,
                f"the home folder {left} of user {later.uid} is not there",
                "make it in the build, or set HOME to a folder that is there",
            ),
        )


def _may_not_read(before: Programs, after: Programs, own: Iterable[str]) -> Iterator[Rated]:
    lost = [
        path
        for path in sorted(own)
        if after.world.file(path) is not None and _may_read(before, path) and not _may_read(after, path)
    ]
    if lost:
        more = f" and {len(lost) - 1:,} more of the application's files" if len(lost) > 1 else ""
        uid = after.identity.uid if after.identity is not None else "?"
        yield Rated(
            "medium",
            Fault(
                "permission_missing",
                lost[0],
                "read",
                f"user {uid} may not read {lost[0]}{more}",
                "set mode or owner in the build (COPY --chmod, --chown), or state USER in the application's own build",
            ),
        )


def _may_read(programs: Programs, path: str) -> bool:
    real = programs.world.file(path)
    return real is not None and programs.may(real, "read")


def _name(world: World, one: Identity) -> str | None:
    return next((name for name, user in (world.users or {}).items() if user.uid == one.uid), None)


def _home_of(world: World, one: Identity) -> str | None:
    return next((user.home for user in (world.users or {}).values() if user.uid == one.uid), None) or None
