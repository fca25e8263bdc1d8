//! By what id servers know this program again (XEP-0388 section 2.3): the same each time it runs, another for each of
//! those that run at once, or they would end each other's sessions (XEP-0386 section 3.2).

use super::Store;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Write};

/// Programs that run at once on the same data; one more than that has no id.
const PLACES: usize = 16;

/// An id that is taken as long as this lives.
pub struct Agent {
    /// A UUID of version 4.
    pub id: String,
    _place: File,
}

impl Store {
    /// Takes the first free place for this account; `None`: the folder gives none, and nothing depends on it.
    pub fn agent(&self, account: &str) -> Option<Agent> {
        let path = self.lock().path().map(std::path::PathBuf::from)?;
        (0..PLACES).find_map(|n| {
            let path = path.with_file_name(format!("program-{n}"));
            liao_net::os::touch_private(&path).ok()?;
            let mut place = File::options().read(true).append(true).open(path).ok()?;
            place.try_lock().ok()?;
            let mut secret = Vec::new();
            place.read_to_end(&mut secret).ok()?;
            if secret.len() != 16 {
                place.set_len(0).ok()?;
                secret = vec![0; 16];
                getrandom::fill(&mut secret).ok()?;
                place.write_all(&secret).ok()?;
            }
            let id = uuid(&secret, account);
            Some(Agent { id, _place: place })
        })
    }
}

/// RFC 9562 section 5.4, from what only this folder knows: servers cannot tell that two accounts are one person's.
fn uuid(secret: &[u8], account: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(secret);
    hash.update(account);
    let mut bytes = hash.finalize();
    bytes[6] = 0x40 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let hex: Vec<String> = bytes[..16].iter().map(|b| format!("{b:02x}")).collect();
    let part = |from: usize, to: usize| hex[from..to].concat();
    [
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 16),
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_each_time_and_another_for_each_that_runs_at_once() {
        let folder = std::env::temp_dir().join(format!("liao-agent-{}", crate::random_id()));
        let store = Store::open(&folder).unwrap();
        let first = store.agent("a@x").unwrap();
        let second = store.agent("a@x").unwrap();
        let other = store.agent("b@x").unwrap();
        let ids = [&first, &second, &other].map(|a| a.id.clone());
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        let form = ids[0].split('-').map(str::len).collect::<Vec<_>>();
        assert_eq!(
            (form.as_slice(), &ids[0][14..15]),
            (&[8, 4, 4, 4, 12][..], "4")
        );
        drop(first);
        assert_eq!(store.agent("a@x").unwrap().id, ids[0]);
        drop(store);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
