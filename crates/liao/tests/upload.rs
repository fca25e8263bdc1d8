//! Files over HTTP (XEP-0363): slots by XMPP, bytes by HTTP, on a real server; what goes wrong on the way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use liao_proto::xep::delay::utc_from_ms;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use world::{Client, PATIENCE, Server};

/// A slot: the path of its address, and the header that came with it.
#[derive(Clone, Debug)]
struct Slot {
    path: String,
    authorization: String,
}

async fn ask(client: &mut Client, attributes: &str, inside: &str) -> String {
    client
        .send(&format!(
            "<iq type='get' id='slot' to='upload.localhost'><request xmlns='urn:xmpp:http:upload:0' {attributes}>\
             {inside}</request></iq>"
        ))
        .await;
    let answer = client.until(|f| f.attr("id") == Some("slot")).await;
    String::from_utf8_lossy(answer.bytes()).into_owned()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("{text}"));
    rest.1.split_once(after).unwrap().0
}

async fn slot(client: &mut Client, attributes: &str, inside: &str) -> Slot {
    let answer = ask(client, attributes, inside).await;
    let url = between(&answer, "<get url='", "'");
    assert_eq!(url, between(&answer, "<put url='", "'"));
    Slot {
        path: format!("/upload{}", url.split_once("/upload").unwrap().1),
        authorization: between(&answer, "name='Authorization'>", "<").to_owned(),
    }
}

/// An answer: the status, the head, the body.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|l| l.split_once(": "));
        lines.into_iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

async fn open(address: SocketAddr, method: &str, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> Answer {
    let mut all = Vec::new();
    // A server that refuses early may reset what is still being sent.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all))
        .await
        .expect("an answer in time");
    let end = all.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.expect("an answer") + 4;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    Answer {
        status: head[9..12].parse().unwrap(),
        head,
        body: all.split_off(end),
    }
}

async fn call(address: SocketAddr, method: &str, path: &str, headers: &str) -> Answer {
    answer(open(address, method, path, headers).await).await
}

async fn put_with(address: SocketAddr, slot: &Slot, headers: &str, body: &[u8]) -> u16 {
    let mut stream = open(address, "PUT", &slot.path, headers).await;
    let _ = stream.write_all(body).await;
    answer(stream).await.status
}

fn headers(slot: &Slot, length: usize) -> String {
    format!(
        "Authorization: {}\r\nContent-Length: {length}\r\n",
        slot.authorization
    )
}

async fn put(address: SocketAddr, slot: &Slot, body: &[u8]) -> u16 {
    put_with(address, slot, &headers(slot, body.len()), body).await
}

async fn status(address: SocketAddr, slot: &Slot) -> u16 {
    call(address, "GET", &slot.path, "").await.status
}

/// The files below a folder of the server's data.
fn files(server: &Server, folder: &str) -> usize {
    fn count(path: &Path) -> usize {
        let Ok(all) = std::fs::read_dir(path) else {
            return 0;
        };
        all.map(|e| e.unwrap().path())
            .map(|p| if p.is_dir() { count(&p) } else { 1 })
            .sum()
    }
    count(&server.folder.0.join("liao-data/uploads").join(folder))
}

/// Waits until something holds that no event tells of.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn stage(name: &str, config: &str) -> (Server, Client, SocketAddr) {
    let server = Server::start(name, config);
    server.add("anna", &[]);
    let anna = server.log_in("anna").await;
    let http = server.address("http");
    (server, anna, http)
}

#[tokio::test]
async fn files_leave_of_the_disk_what_the_messages_need() {
    let server = Server::start_with("upload-room", "", |command| {
        command.env("LIAO_UPLOAD_LEAVE_FREE_MB", "4294967296");
    });
    server.add("anna", &[]);
    let mut anna = server.log_in("anna").await;
    let refused = ask(&mut anna, "filename='a.txt' size='5'", "").await;
    assert!(refused.contains("type='wait'"), "{refused}");
    assert!(refused.contains("<resource-constraint"), "{refused}");
    assert!(refused.contains("disk is nearly full"), "{refused}");
}

#[tokio::test]
async fn a_file_comes_down_as_it_went_up_whole_and_in_parts() {
    let (server, mut anna, http) = stage("upload-whole", "").await;
    let body: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let about = format!(
        "filename='猫 1.jpg' size='{}' content-type='image/jpeg'",
        body.len()
    );
    let slot = slot(&mut anna, &about, "").await;
    assert!(slot.path.ends_with("/%E7%8C%AB%201.jpg"), "{slot:?}");
    assert!(
        slot.path.split('/').nth(2).unwrap().len() >= 22,
        "128 bits or more"
    );
    assert_eq!(put(http, &slot, &body).await, 201);
    let whole = call(http, "GET", &slot.path, "").await;
    assert_eq!((whole.status, whole.body == body), (200, true));
    for (name, value) in [
        ("content-type", "image/jpeg"),
        ("x-content-type-options", "nosniff"),
        ("access-control-allow-origin", "*"),
        ("accept-ranges", "bytes"),
        (
            "content-disposition",
            "inline; filename=\"_ 1.jpg\"; filename*=UTF-8''%E7%8C%AB%201.jpg",
        ),
    ] {
        assert_eq!(whole.header(name), Some(value), "{}", whole.head);
    }
    let csp = whole.header("content-security-policy").unwrap();
    assert!(csp.contains("default-src 'none'") && csp.contains("sandbox"));
    let length = body.len().to_string();
    let head = call(http, "HEAD", &slot.path, "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    let part = call(http, "GET", &slot.path, "Range: bytes=200000-899999\r\n").await;
    assert_eq!(
        (part.status, part.body == body[200_000..900_000]),
        (206, true)
    );
    assert_eq!(
        part.header("content-range"),
        Some(&*format!("bytes 200000-899999/{length}"))
    );
    let last = call(http, "GET", &slot.path, "Range: bytes=-5\r\n").await;
    assert_eq!(
        (last.status, &last.body[..]),
        (206, &body[body.len() - 5..])
    );
    let beyond = call(
        http,
        "GET",
        &slot.path,
        &format!("Range: bytes={length}-\r\n"),
    )
    .await;
    assert_eq!(beyond.status, 416);
    assert_eq!(
        beyond.header("content-range"),
        Some(&*format!("bytes */{length}"))
    );
    let etag = whole.header("etag").unwrap();
    let same = call(
        http,
        "GET",
        &slot.path,
        &format!("If-None-Match: {etag}\r\n"),
    )
    .await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let other = "If-Range: \"other\"\r\nRange: bytes=0-1\r\n";
    assert_eq!(call(http, "GET", &slot.path, other).await.status, 200);
    let preflight = call(
        http,
        "OPTIONS",
        &slot.path,
        "Origin: https://web.example\r\n",
    )
    .await;
    assert_eq!(preflight.status, 204);
    let allowed = preflight.header("access-control-allow-methods").unwrap();
    assert!(allowed.contains("PUT"), "{allowed}");
    let allowed = preflight.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("Authorization") && allowed.contains("Content-Type"));
    let usage = server.admin(&["uploads"], "");
    let usage = String::from_utf8_lossy(&usage.stdout).into_owned();
    assert!(
        usage.contains(&format!("anna@localhost  1 files  {length} bytes")),
        "{usage}"
    );
}

#[tokio::test]
async fn what_a_browser_could_run_is_only_saved() {
    let (_server, mut anna, http) = stage("upload-types", "").await;
    for kind in [
        "text/html",
        "image/svg+xml",
        "application/javascript",
        "text/css",
        "application/xhtml+xml",
        "",
    ] {
        let about = format!("filename='a.html' size='3' content-type='{kind}'");
        let slot = slot(&mut anna, &about, "").await;
        assert_eq!(put(http, &slot, b"<p>").await, 201);
        let got = call(http, "GET", &slot.path, "").await;
        assert_eq!(
            got.header("content-type"),
            Some("application/octet-stream"),
            "{kind}"
        );
        assert!(
            got.header("content-disposition")
                .unwrap()
                .starts_with("attachment;"),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_slot_is_for_one_file_as_it_was_announced() {
    let (server, mut anna, http) = stage("upload-once", "").await;
    let slot = slot(
        &mut anna,
        "filename='a.txt' size='10' content-type='text/plain'",
        "",
    )
    .await;
    let put = async |more: &str, body: &[u8]| put_with(http, &slot, more, body).await;
    let authorization = format!("Authorization: {}\r\n", slot.authorization);
    assert_eq!(
        put("Content-Length: 10\r\n", b"0123456789").await,
        403,
        "without the header"
    );
    assert_eq!(
        put("Authorization: Bearer x\r\nContent-Length: 10\r\n", b"").await,
        403
    );
    assert_eq!(put(&authorization, b"").await, 411, "without a length");
    for length in [9, 11] {
        assert_eq!(
            put(&headers(&slot, length), &[b'x'; 11][..length]).await,
            400
        );
    }
    let html = format!("{}Content-Type: text/html\r\n", headers(&slot, 10));
    assert_eq!(put(&html, b"0123456789").await, 415);
    for path in [
        "/upload/../../../etc/passwd",
        "/upload/..%2f..%2f..%2fetc/passwd",
        "/upload/%2e%2e/a.txt",
        &slot.path.replace("a.txt", "b.txt"),
        &slot.path.replace("a.txt", "..%2Fa.txt"),
        &slot.path.replace("a.txt", "%FF"),
        &slot.path.replace("a.txt", "a.txt%00"),
    ] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let status = call(http, method, path, &headers(&slot, 0)).await.status;
            assert!(matches!(status, 400 | 404), "{method} {path}: {status}");
        }
    }
    // Two at once: the first byte takes the slot, and nobody sees half a file.
    let mut first = open(http, "PUT", &slot.path, &headers(&slot, 10)).await;
    first.write_all(b"01234").await.unwrap();
    until("the upload has begun", || files(&server, "incoming") == 1).await;
    assert_eq!(put(&headers(&slot, 10), b"0123456789").await, 409);
    for method in ["GET", "HEAD"] {
        assert_eq!(call(http, method, &slot.path, "").await.status, 404);
    }
    first.write_all(b"56789").await.unwrap();
    assert_eq!(answer(first).await.status, 201);
    assert_eq!(
        put(&headers(&slot, 10), b"9876543210").await,
        404,
        "it is used"
    );
    assert_eq!(call(http, "GET", &slot.path, "").await.body, b"0123456789");
}

#[tokio::test]
async fn a_half_upload_goes_and_its_bytes_are_free_again() {
    let config = "[upload]\nquota_mb = 1\n[limits]\ntransfer_window_s = 1\n";
    let (server, mut anna, http) = stage("upload-half", config).await;
    let about = "filename='a' size='1000000'";
    for cut in [true, false] {
        let slot = slot(&mut anna, about, "").await;
        let mut stream = open(http, "PUT", &slot.path, &headers(&slot, 1_000_000)).await;
        stream.write_all(&[b'x'; 30_000]).await.unwrap();
        until("the upload has begun", || files(&server, "incoming") == 1).await;
        let refused = ask(&mut anna, about, "").await;
        assert!(refused.contains("<resource-constraint "), "{refused}");
        if cut {
            drop(stream);
        } else {
            assert_eq!(answer(stream).await.status, 408, "a trickle");
        }
        until("the half file is gone", || files(&server, "") == 0).await;
        assert_eq!(status(http, &slot).await, 404);
    }
    // One byte after the other is as slow.
    let small = slot(&mut anna, "filename='a' size='100'", "").await;
    let mut stream = open(http, "PUT", &small.path, &headers(&small, 100)).await;
    let (mut reader, mut writer) = stream.split();
    let mut said = [0; 64];
    let trickle = async {
        loop {
            let _ = writer.write_all(b"x").await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = trickle => {}
        read = reader.read(&mut said) => assert!(said[..read.unwrap()].starts_with(b"HTTP/1.1 408")),
    }
    let whole = slot(&mut anna, about, "").await;
    assert_eq!(put(http, &whole, &[b'x'; 1_000_000]).await, 201);
}

#[tokio::test]
async fn after_kill_9_whole_files_are_here_and_half_ones_are_not() {
    let (mut server, mut anna, http) = stage("upload-kill", "").await;
    let kept = slot(&mut anna, "filename='a' size='5'", "").await;
    assert_eq!(put(http, &kept, b"whole").await, 201);
    let half = slot(&mut anna, "filename='b' size='1000000'", "").await;
    let mut stream = open(http, "PUT", &half.path, &headers(&half, 1_000_000)).await;
    stream.write_all(&[b'x'; 500_000]).await.unwrap();
    until("the upload has begun", || files(&server, "incoming") == 1).await;
    server.kill_and_start(|folder| {
        // As if the process had been killed between the file's new name and its commit.
        let orphan = folder.join("liao-data/uploads/ab/ab0123");
        std::fs::create_dir_all(&orphan).unwrap();
        std::fs::write(orphan.join("nobodys"), "x").unwrap();
    });
    until("what was left is gone", || files(&server, "") == 1).await;
    let http = server.address("http");
    assert_eq!(call(http, "GET", &kept.path, "").await.body, b"whole");
    assert_eq!(status(http, &half).await, 404);
    assert_eq!(
        put(http, &half, &[b'x'; 1_000_000]).await,
        404,
        "slots do not outlive the process"
    );
}

#[tokio::test]
async fn files_go_when_their_time_is_over_or_their_owner_says_so_or_is_gone() {
    let (server, mut anna, http) = stage("upload-end", "").await;
    let purpose =
        |name: &str, more: &str| format!("<{name} xmlns='urn:xmpp:http:upload:purpose:0' {more}/>");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let soon = utc_from_ms(i64::try_from(now.unwrap().as_millis()).unwrap() + 2_500);
    let ephemeral = purpose("ephemeral", &format!("expire-before='{soon}'"));
    let about = "filename='a' size='1'";
    let short = slot(&mut anna, about, &ephemeral).await;
    assert_eq!(put(http, &short, b"x").await, 201);
    let got = call(http, "GET", &short.path, "").await;
    assert_eq!(got.status, 200);
    let age = between(got.header("cache-control").unwrap(), "max-age=", ",");
    assert!(
        age.parse::<u32>().unwrap() <= 2,
        "nobody keeps a copy longer: {age}"
    );
    let mut all = Vec::new();
    for name in ["message", "profile", "permanent"] {
        let slot = slot(&mut anna, about, &purpose(name, "")).await;
        assert_eq!(put(http, &slot, b"x").await, 201);
        all.push(slot);
    }
    until("the short-lived file is gone", || files(&server, "") == 3).await;
    assert_eq!(status(http, &short).await, 404);
    let gone = all.remove(0);
    let other = headers(&all[0], 0);
    assert_eq!(
        call(http, "DELETE", &gone.path, &other).await.status,
        403,
        "not its token"
    );
    assert_eq!(
        call(http, "DELETE", &gone.path, &headers(&gone, 0))
            .await
            .status,
        204
    );
    assert_eq!(status(http, &gone).await, 404);
    assert_eq!(files(&server, ""), 2);
    let out = server.admin(&["user", "del", "anna"], "");
    assert!(out.status.success());
    for slot in &all {
        assert_eq!(status(http, slot).await, 404, "from the removal on");
    }
    until("the account's files are gone", || files(&server, "") == 0).await;
}

#[tokio::test]
async fn profile_pictures_push_out_the_oldest_and_do_not_count() {
    let (server, mut anna, http) = stage("upload-profile", "[upload]\nquota_mb = 1\n").await;
    let profile = "<profile xmlns='urn:xmpp:http:upload:purpose:0'/>";
    let body = vec![b'x'; 8 * 1024 * 1024 / 2];
    let about = format!("filename='me.png' size='{}'", body.len());
    let refused = ask(&mut anna, &about, "").await;
    assert!(
        refused.contains("<resource-constraint "),
        "as a message: {refused}"
    );
    let large = ask(&mut anna, "filename='me.png' size='9000000'", profile).await;
    assert!(large.contains("<file-too-large "), "{large}");
    let mut all = Vec::new();
    for _ in 0..9 {
        let slot = slot(&mut anna, &about, profile).await;
        assert_eq!(put(http, &slot, &body).await, 201);
        all.push(slot);
    }
    assert_eq!(files(&server, ""), 8);
    assert_eq!(status(http, &all[0]).await, 404);
    assert_eq!(status(http, &all[1]).await, 200);
}

/// Named bound of the server's growth: what it holds of one file is some buffers of a connection.
const TRANSFER_GROWTH_KB: u64 = 24 * 1024;

fn resident_kb(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_large_file_takes_no_memory_even_if_who_fetches_it_does_not_read() {
    let (server, mut anna, http) = stage("upload-large", "").await;
    let size = 128 * 1024 * 1024usize;
    let slot = slot(&mut anna, &format!("filename='a' size='{size}'"), "").await;
    let small = self::slot(&mut anna, "filename='a' size='1'", "").await;
    assert_eq!(put(http, &small, b"x").await, 201);
    let before = resident_kb(&server);
    let mut stream = open(http, "PUT", &slot.path, &headers(&slot, size)).await;
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..size / piece.len() {
        stream.write_all(&piece).await.unwrap();
    }
    assert_eq!(answer(stream).await.status, 201);
    let idle = open(http, "GET", &slot.path, "").await;
    let mut stream = open(http, "GET", &slot.path, "").await;
    let (mut space, mut got) = (vec![0; 1024 * 1024], 0);
    loop {
        let n = stream.read(&mut space).await.unwrap();
        if n == 0 {
            break;
        }
        got += n;
    }
    assert!(got > size && got < size + 4096, "{got}");
    let grown = resident_kb(&server) - before;
    assert!(grown < TRANSFER_GROWTH_KB, "{grown} KB");
    drop(idle);
}

#[tokio::test]
async fn a_full_disk_is_said_and_the_chat_goes_on() {
    if !Command::new("unshare")
        .args(["-rm", "true"])
        .status()
        .is_ok_and(|s| s.success())
    {
        eprintln!("skipped: no namespaces here");
        return;
    }
    let mount = |command: &mut Command| {
        // The uploads alone lie on a disk of 4 MB.
        let program = command.get_program().to_owned();
        let script = "mkdir -p liao-data/uploads && mount -t tmpfs -o size=4m none liao-data/uploads && exec \"$0\" serve";
        let mut inside = Command::new("unshare");
        inside.args(["-rm", "sh", "-c", script]).arg(program);
        for (name, value) in command.get_envs() {
            inside.env(name, value.unwrap());
        }
        inside.current_dir(command.get_current_dir().unwrap());
        *command = inside;
    };
    let server = Server::start_with("upload-full", "", mount);
    server.add("anna", &[]);
    let mut anna = server.log_in("anna").await;
    let http = server.address("http");
    let large = slot(&mut anna, "filename='a' size='8000000'", "").await;
    assert_eq!(put(http, &large, &vec![b'x'; 8_000_000]).await, 507);
    assert_eq!(status(http, &large).await, 404);
    let small = slot(&mut anna, "filename='a' size='3000000'", "").await;
    assert_eq!(
        put(http, &small, &vec![b'x'; 3_000_000]).await,
        201,
        "its room is free again"
    );
    anna.send("<message to='anna@localhost' type='chat'><body>still here</body></message>")
        .await;
    anna.hears("still here").await;
}

/// XEP-0363 section 6: what is refused for a while says until when.
#[tokio::test]
async fn who_has_asked_for_too_many_slots_is_told_when_to_ask_again() {
    let (_server, mut anna, _) = stage("upload-retry", "").await;
    for _ in 0..50 {
        slot(&mut anna, "filename='a' size='1'", "").await;
    }
    let refused = ask(&mut anna, "filename='a' size='1'", "").await;
    assert!(refused.contains("<resource-constraint "), "{refused}");
    let retry = between(
        &refused,
        "<retry xmlns='urn:xmpp:http:upload:0' stamp='",
        "'",
    );
    assert!(retry.starts_with("20") && retry.ends_with('Z'), "{retry}");
}
