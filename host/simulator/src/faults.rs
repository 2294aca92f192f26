//! What goes wrong, on demand. Set from Rust, from a file (`firn simulator --faults FILE`), or by
//! `PUT /simulator/faults`.

use serde::{Deserialize, Serialize};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// Answered with a status, and nothing done. `retry_after` in seconds.
    Status {
        /// 401, 429, 500, 502, 503, ...
        code: u16,
        /// The header's value.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Done, after so many milliseconds.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Done and committed, then answered with a status.
    StatusAfterCommit {
        /// 500, 502, 504, ...
        code: u16,
    },
    /// Done and committed, then the connection is closed without an answer.
    DropAfterCommit,
    /// The connection is closed, and nothing done.
    Drop,
    /// 200 with a page in HTML instead of JSON.
    LoginPage,
    /// 200 with the page of an instance that sleeps.
    Hibernating,
    /// The connection is closed at once, and the request is done so many milliseconds later.
    LateCommit {
        /// Milliseconds.
        ms: u64,
    },
    /// The transaction quota: 500, nothing done.
    Quota,
    /// 200 with JSON that is cut off.
    CutJson,
    /// Answered 429, and nothing done. `retry_after` as it stands in the header.
    Throttled {
        /// The header's value: seconds, a date, anything.
        retry_after: String,
    },
    /// Done and committed, then answered 200 with nothing.
    Empty,
    /// Done and committed, then answered 200 with so many megabytes of blanks.
    Huge {
        /// Megabytes.
        mb: usize,
    },
    /// Done and committed, then answered 200 with one blank after the other, ten a second, for ever.
    Endless,
    /// Done and committed, then answered with a `sys_id` that is another row's.
    OtherRecord,
    /// A replica that lags: a list comes without rows.
    Unseen,
}

/// Which requests, how often, and what then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestFault {
    /// Only this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only paths that contain this.
    #[serde(default)]
    pub path: Option<String>,
    /// Of a hundred requests that fit, so many are hit.
    #[serde(default = "always")]
    pub percent: u32,
    /// At most so many in all.
    #[serde(default)]
    pub times: Option<u32>,
    /// The first so many that fit are let through.
    #[serde(default)]
    pub after: u32,
    /// What happens.
    pub trouble: Trouble,
}

fn always() -> u32 {
    100
}

/// What happens to outbound calls of business rules, each in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundFaults {
    /// Never sent.
    pub lost: u32,
    /// Sent twice.
    pub doubled: u32,
    /// Sent up to `late_ms` later, and so out of order.
    pub late: u32,
    /// How late, in milliseconds.
    pub late_ms: u64,
}

/// How much an instance takes: what is beyond it is answered 429, as when its semaphores are exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Requests within any second.
    pub per_second: u32,
    /// Requests under way at once.
    pub at_once: u32,
}

/// All faults.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Inbound requests.
    pub requests: Vec<RequestFault>,
    /// Outbound calls of business rules.
    pub outbound: OutboundFaults,
    /// How much it takes.
    pub pace: Option<Pace>,
}

impl Faults {
    /// What happens to this request; uses one of its times up.
    pub(crate) fn strike(
        &mut self,
        method: &str,
        path: &str,
        rng: &mut fastrand::Rng,
    ) -> Option<Trouble> {
        let fault = self.requests.iter_mut().find_map(|fault| {
            let fits = fault.method.as_ref().is_none_or(|m| m.eq_ignore_ascii_case(method))
                && fault.path.as_ref().is_none_or(|p| path.contains(p.as_str()))
                && fault.times != Some(0);
            if fits && fault.after > 0 {
                fault.after -= 1;
                return None;
            }
            (fits && rng.u32(0..100) < fault.percent).then_some(fault)
        })?;
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.trouble.clone())
    }
}
