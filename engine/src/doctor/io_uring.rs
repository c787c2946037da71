//! Whether io_uring is to be had, and who takes it away if not.

use super::host::Host;
use super::isolation::status;
use super::{Check, Fix, Judged, Verdict, settle};
use crate::reactor::{BackendKind, SOCKETS_POLLED_MAX};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "io_uring",
        title: "io_uring",
        wanted: "a multishot receive works",
        why: "one reactor that watches many sockets asks one ring instead of each socket; without \
              it the engine polls sockets in turn",
        effect: "nothing for one or two sockets, where polling is quicker; for many the cost of a \
                 poll no longer grows with their number",
        source: "measured on a two-core VM (tuning/README.md); sysctl/kernel.rst, \
                 io_uring_disabled",
        fix: Fix::Hand("sysctl kernel.io_uring_disabled=0, or a seccomp profile that allows it"),
        judge: |host| settle(io_uring(host)),
    },
    Check {
        id: "seccomp",
        title: "system call filter of this process",
        wanted: "none, or one that lets io_uring_setup, _enter and _register through",
        why: "the default profiles of Docker and containerd refuse io_uring since 2023",
        effect: "the receive backend that the configuration asks for",
        source: "containerd, pull request 9320; moby, pull request 46762; seccomp(2)",
        fix: Fix::Hand("--security-opt seccomp=PROFILE, or seccompProfile of the pod"),
        judge: |host| settle(seccomp(host)),
    },
];

/// How bad it is to be without.
fn without(host: &Host, why: &str) -> Verdict {
    let needs = &host.needs;
    match needs.backend {
        BackendKind::Uring => Verdict::bad(format!("{why}; the configuration asks for it")),
        BackendKind::Socket => Verdict::info(format!("{why}; the configuration does not use it")),
        BackendKind::Auto if needs.sockets > SOCKETS_POLLED_MAX => {
            Verdict::warn(format!("{why}; {} sockets are polled in turn", needs.sockets))
        }
        BackendKind::Auto => {
            Verdict::info(format!("{why}; {} sockets are quicker polled", needs.sockets))
        }
    }
}

fn io_uring(host: &Host) -> Judged {
    let disabled = host.root.get("proc/sys/kernel/io_uring_disabled");
    Ok(match host.io_uring() {
        Ok(()) => Verdict::ok("tried, works"),
        Err(why) => match disabled.as_deref() {
            Some("2") => without(host, "kernel.io_uring_disabled is 2: switched off"),
            Some("1") => without(host, "kernel.io_uring_disabled is 1: for privileged users"),
            _ => without(host, &why),
        },
    })
}

fn seccomp(host: &Host) -> Judged {
    let mode = status(host, "Seccomp");
    Ok(match (mode.as_deref(), host.io_uring()) {
        (Some("0"), _) => Verdict::ok("none"),
        (Some(_), Ok(())) => Verdict::ok("there is one, and io_uring passes"),
        (Some(_), Err(_)) => without(host, "there is one, and io_uring does not work"),
        (None, _) => Verdict::unknown("/proc/self/status does not say"),
    })
}
