//! What a detached envelope of two signers over 1 GiB costs, beside `openssl cms` and beside hashing alone
//! (`openssl dgst`) in the same run: time and peak memory of each whole program.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark prints and fails loudly"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use touchstone_certs::Name;
use touchstone_certs::issue::{Kind, Template};
use touchstone_crypto::SignatureAlgorithm;
use touchstone_crypto_awslc::{AwsLc, SoftSigner};

const OCTETS: usize = 1 << 30;
const ROUNDS: usize = 5;

/// What one run of a program took.
#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    /// Peak of the resident memory, in kB.
    memory: u64,
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    material(dir);
    let by = "--signer one.pem=file:one.key --signer two.pem=file:two.key";
    let ours = env!("CARGO_BIN_EXE_touchstone");
    let sign = format!("cms sign content {by} --detached --out ours.p7s");
    let verify = "cms verify ours.p7s --content content --trust both.pem --signatures 2";
    let their_sign = "cms -sign -binary -outform DER -in content -out theirs.p7s -signer one.pem \
                      -inkey one.key -signer two.pem -inkey two.key";
    let their_verify = "cms -verify -binary -inform DER -in ours.p7s -content content -CAfile both.pem \
                        -purpose any -partial_chain -out /dev/null";
    println!("CMS, 1 GiB detached, two signers of P-256, best of {ROUNDS}:");
    for (what, line, peer) in
        [("sign", sign.as_str(), their_sign), ("verify", verify, their_verify)]
    {
        // Side by side, so that both meet the same machine.
        let programs = [(ours, line), ("openssl", peer), ("openssl", "dgst -sha256 content")];
        let rounds: Vec<[Cost; 3]> =
            (0..ROUNDS).map(|_| programs.map(|(program, line)| run(dir, program, line))).collect();
        let best = |which: usize| {
            rounds.iter().map(|costs| costs[which]).min_by_key(|cost| cost.time).unwrap()
        };
        let [ours, theirs, hashing] = [0, 1, 2].map(best);
        let seconds = |cost: Cost| cost.time.as_secs_f64();
        println!(
            "  {what:<7} touchstone {:.2} s, {:.1} MB; openssl {:.2} s, {:.1} MB; ratio {:.2} of its \
             time, {:.2} of its memory; {:.2} of hashing alone ({:.2} s)",
            seconds(ours),
            megabytes(ours),
            seconds(theirs),
            megabytes(theirs),
            seconds(ours) / seconds(theirs),
            megabytes(ours) / megabytes(theirs),
            seconds(ours) / seconds(hashing),
            seconds(hashing),
        );
    }
}

#[allow(clippy::cast_precision_loss, reason = "some megabytes")]
fn megabytes(cost: Cost) -> f64 {
    cost.memory as f64 / 1000.0
}

/// The content, two signers, and both as trust anchors.
fn material(dir: &Path) {
    let mut file = File::create(dir.join("content")).unwrap();
    let piece: Vec<u8> =
        (0..1_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for _ in 0..OCTETS / piece.len() {
        file.write_all(&piece).unwrap();
    }
    file.sync_all().unwrap();
    let mut both = String::new();
    for name in ["one", "two"] {
        let key = SoftSigner::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
        let subject = Name::common_name(name).unwrap();
        let template = Template::new(Kind::CodeSigner, subject, 0, 4_000_000_000);
        let pem = template.self_sign(&AwsLc, &key).unwrap().to_pem().unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), &pem).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.to_pkcs8_pem().as_bytes()).unwrap();
        both.push_str(&pem);
    }
    std::fs::write(dir.join("both.pem"), both).unwrap();
}

/// Runs a program to its end, looking at its memory meanwhile.
fn run(dir: &Path, program: &str, line: &str) -> Cost {
    let mut command = Command::new(program);
    command.args(line.split_whitespace()).current_dir(dir).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    let (how, time) = loop {
        if let Some(how) = child.try_wait().unwrap() {
            break (how, start.elapsed());
        }
        memory = memory.max(peak(&status).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(how.success(), "{program} {line}: {how}");
    Cost { time, memory }
}

fn peak(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
