"""The names of programs by what they are good for, as distributions and their alternatives spell them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from audit_lib.tables import SurfaceCategory

_NAMES: Mapping[SurfaceCategory, str] = {
    "shells": """
        ash bash bash-static csh dash elvish fish hush ksh ksh93 lksh mksh mksh-static nu oksh pdksh posh pwsh rbash
        rzsh sash sh tcsh xonsh yash zsh zsh-static
        """,
    "package managers": """
        apk apt apt-get aptitude brew bundle bundler cargo composer conda corepack cpan cpanm dnf dpkg easy_install
        emerge flatpak gem guix luarocks mamba microdnf micromamba nix nix-env npm npx opkg pacman pdm pip pipenv pipx
        pixi pnpm poetry rpm snap swupd tdnf uv xbps-install yarn yarnpkg yum zypper
        """,
    "interpreters": """
        awk bun deno elixir erl gawk gforth groovy guile irb java jshell julia lua luajit mawk micropython mono node
        nodejs ocaml octave original-awk perl php php-cgi phpdbg pypy python qjs R racket Rscript ruby runghc scala
        tclsh wish
        """,
    "compilers and linkers": """
        as c++ c89 c89-gcc c99 c99-gcc cc cc1 cc1plus clang clang++ collect2 cpp crystal csc dmd f77 f95 fpc g++ gas
        gcc gccgo gdc gfortran ghc gnatmake go gold javac kotlinc ld ld.bfd ld.gold ld.lld llc lld lto-dump lto1 mcs
        mold nasm nim nvcc ocamlc ocamlopt rustc scalac swiftc tcc tsc valac yasm zig
        """,
    "debuggers": """
        bpftrace delve dlv gcore gdb gdb-multiarch gdbserver jdb jmap jstack lldb lldb-server ltrace perf pstack
        py-spy radare2 rr stap strace sysdig tcpdump trace-cmd tshark uftrace valgrind
        """,
    "network clients": """
        aria2c arping axel curl dig drill elinks fping ftp ftpget ftpput git host hping3 httpie inetutils-ftp
        inetutils-ping inetutils-telnet inetutils-traceroute iperf kcat ldapsearch lftp links lynx masscan mongosh mtr
        mutt mysql nc nc.openbsd nc.traditional ncat ncftp netcat nmap nping nslookup openssl ping psql rclone
        redis-cli rsync smbclient snmpget snmpwalk socat svn telnet telnet.netkit tftp tnftp tracepath traceroute w3m
        wget whois wscat zmap
        """,
    "network servers": """
        apache2 atftpd avahi-daemon caddy chronyd coredns cupsd dhcpd dnsd dnsmasq dovecot envoy etcd exim fakeidentd
        fingerd ftpd gunicorn haproxy httpd in.fingerd in.ftpd in.tftpd inetd influxd lighttpd lpd mariadbd memcached
        minio mongod mosquitto mysqld named nats-server nginx nmbd nsd ntpd php-fpm postfix postgres postmaster
        proftpd pure-ftpd rabbitmq-server redis-server rpc.mountd rpc.nfsd rpc.statd rpcbind sendmail slapd smbd smtpd
        snmpd squid stunnel svnserve tcpsvd tftpd tinyproxy traefik udhcpd udpsvd unbound uwsgi valkey-server varnishd
        vsftpd winbindd xinetd
        """,
    "remote administration": """
        autossh cockpit-ws crictl ctr dbclient docker dropbear dropbearmulti gotty in.rlogind in.rshd in.telnetd
        inetutils-telnetd kubectl mosh mosh-client mosh-server nerdctl podman remsh rexec rlogin rlogind rsh rshd scp
        sftp sftp-server shellinaboxd slogin ssh ssh-agent sshd sshpass telnetd tmate ttyd vncserver x11vnc xrdp Xvnc
        """,
    "privilege tools": """
        capsh chroot doas fusermount gosu ksu mount mount.cifs mount.nfs newgidmap newgrp newuidmap nsenter pkexec
        runuser setcap setpriv sg su su-exec sudo sudo-rs sudoedit umount unshare userhelper
        """,
}
_CATEGORIES: Mapping[str, SurfaceCategory] = {
    name: category for category, names in _NAMES.items() for name in names.split()
}
# python3.11, gcc-12, dnf-3, perl5.36.0, php8.2
_VERSIONED = re.compile(r"(.+?)-?\d[\d.]*(?:-\d+)?")
# x86_64-linux-gnu-gcc-12, aarch64-alpine-linux-musl-ld
_FOR_A_TARGET = re.compile(r"(?:\w+-){2,3}((?:gcc|g\+\+|cpp|c\+\+|cc|clang|ld|as|gfortran|lto-dump)\b.*)")


@lru_cache(maxsize=65536)
def category_of(name: str) -> SurfaceCategory | None:
    """Return what kind of program has this name, None for any other.

    >>> [category_of(name) for name in ("x86_64-linux-gnu-gcc-12", "python3.11", "sh", "shred")]
    ['compilers and linkers', 'interpreters', 'shells', None]
    """
    found = _CATEGORIES.get(name)
    target = None if found else _FOR_A_TARGET.fullmatch(name)
    if target:
        return category_of(target[1])
    versioned = None if found else _VERSIONED.fullmatch(name)
    return _CATEGORIES.get(versioned[1]) if versioned else found
