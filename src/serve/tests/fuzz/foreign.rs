//! dnspython reads every answer too.

use std::{
    cell::RefCell,
    fmt::Write as _,
    io::Write as _,
    panic::AssertUnwindSafe,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use bolero::{check, produce};

use crate::{exchange::Exchange, laws, messages::respond, strict, world::World};

/// Debian's, which has Debian's dnspython; elsewhere that of the path.
const DEBIAN_PYTHON: &str = "/usr/bin/python3";
/// Reads a message a line, strictly, and says which it does not take.
const SCRIPT: &str = "
import sys, dns.message, dns.rcode, dns.flags
count = 0
for line in sys.stdin:
    rcode, wire = line.split()
    try:
        message = dns.message.from_wire(bytes.fromhex(wire), ignore_trailing=False, raise_on_truncation=False)
        assert message.flags & dns.flags.QR, 'no answer'
        assert message.rcode() == int(rcode), 'RCODE %d' % message.rcode()
        message.to_text()
    except Exception as error:
        print(type(error).__name__, error, wire)
        sys.exit(1)
    count += 1
print('read', count)
";

#[test]
fn dnspython_reads_every_answer() {
    let world = World::new();
    let responders = world.responders();
    let answers = RefCell::new(Vec::new());
    let mut all = AssertUnwindSafe((world, responders, &answers));
    check!().with_iterations(3_000).with_generator(produce::<Exchange>()).for_each(|exchange| {
        let (world, responders, answers) = &mut *all;
        let Some(reply) = respond(world, responders, exchange) else { return };
        let read = strict::read(reply.octets).expect("a well-formed answer");
        // Without the request's MAC, dnspython reads no signed message; and none with an opcode that
        // has no name. In updates it wants more than a question (RFC 2136 section 2.3), which we only echo.
        let is_known = matches!(reply.octets[2] >> 3 & 15, 0 | 1 | 2 | 4);
        if !read.tsig && is_known && !laws::has_subnet_without_family(reply.octets, &read) {
            answers.borrow_mut().push((reply.rcode, reply.octets.to_vec()));
        }
    });
    let answers = answers.into_inner();
    // bolero asks which targets there are, or makes a finding again.
    if answers.is_empty() {
        return;
    }
    assert_eq!(read_by_dnspython(&answers), format!("read {}", answers.len()));
}

fn read_by_dnspython(answers: &[(u16, Vec<u8>)]) -> String {
    let python = if Path::new(DEBIAN_PYTHON).exists() { DEBIAN_PYTHON } else { "python3" };
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3, with the package python3-dnspython");
    let mut input = child.stdin.take().expect("a pipe");
    thread::scope(|scope| {
        scope.spawn(move || {
            for (rcode, octets) in answers {
                let hex = octets.iter().fold(String::new(), |mut hex, octet| {
                    let _ = write!(hex, "{octet:02x}");
                    hex
                });
                // It ends at the first message that it does not take.
                if writeln!(input, "{rcode} {hex}").is_err() {
                    return;
                }
            }
        });
        let output = child.wait_with_output().expect("it ends");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}
