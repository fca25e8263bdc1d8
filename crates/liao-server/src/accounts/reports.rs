//! Reports of spam and abuse (XEP-0377), as they wait for the administrator.

use super::{AccountError, Accounts};
use crate::store::Op;
use liao_proto::xep::delay::utc_from_ms;
use serde::{Deserialize, Serialize};

/// The collection of [`Report`]: owned by who reports, keyed by who is reported.
pub const REPORT: &str = "report";
/// The collection of how many reports of an account are kept, under the key `""`.
pub const REPORTED: &str = "reported";

/// A report of spam or abuse (XEP-0377 section 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When, ms since 1970, UTC.
    pub time_ms: i64,
    /// `urn:xmpp:reporting:spam`, `urn:xmpp:reporting:abuse` or another.
    pub reason: String,
    /// Words of who reports.
    pub text: String,
    /// Ids of the messages in question.
    pub messages: Vec<String>,
}

/// A report as lists have it.
#[derive(Debug, Clone, Serialize)]
pub struct ReportInfo {
    /// Who is reported.
    pub jid: String,
    /// Who reports.
    pub by: String,
    /// When, UTC.
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub report: Report,
}

impl Accounts {
    /// What was reported, the oldest first; `clear` forgets it.
    pub async fn reports(&self, clear: bool) -> Result<Vec<ReportInfo>, AccountError> {
        let rows = self.store.list(REPORT).await?;
        if clear {
            let gone = rows.iter().flat_map(|(by, jid, _)| {
                let delete = |collection, key: &str| Op::Delete {
                    collection,
                    owner: by.clone(),
                    key: key.to_owned(),
                };
                [delete(REPORT, jid), delete(REPORTED, "")]
            });
            self.store.committed(gone.collect()).await?;
        }
        let info = |(by, jid, value): (String, String, Vec<u8>)| {
            let report: Report = serde_json::from_slice(&value).ok()?;
            let time = utc_from_ms(report.time_ms);
            Some(ReportInfo {
                jid,
                by,
                time,
                report,
            })
        };
        let mut all: Vec<ReportInfo> = rows.into_iter().filter_map(info).collect();
        all.sort_by_key(|r| r.report.time_ms);
        Ok(all)
    }
}
