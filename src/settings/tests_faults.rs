//! Every fault of the settings of the server, with its place and what would be right.

use rstest::rstest;

use super::tests_server::refused;

#[rstest]
#[case(
    "serve: {keys: [{name: a, macSize: 15, secret: aHVzaA==}]}",
    "2:35",
    "serve.keys[0].macSize: is no length: a MAC of hmac-sha256 has from 16 to 32 octets, not 15",
    "write a length from the half of the MAC on (RFC 8945 section 5.2.2.1), or take it out for whole MACs"
)]
#[case(
    "serve: {transfer: {notify: [{address: 192.0.2.53, source: '2001:db8::1'}]}}",
    "2:59",
    "serve.transfer.notify[0].source: `2001:db8::1` is of another family than 192.0.2.53:53",
    "name one of its family"
)]
#[case(
    "serve: {zones: [{apex: example.com, transfer: {notifySource: [192.0.2.1, 192.0.2.2]}}]}",
    "2:62",
    "serve.zones[0].transfer.notifySource: has two addresses of one family",
    "keep one for IPv4 and one for IPv6; a single secondary can have another: {address: …, source: …}"
)]
#[case(
    "serve: {transfer: {notifySource: 0.0.0.0}}",
    "2:34",
    "serve.transfer.notifySource: `0.0.0.0` is nothing that a message can be sent from",
    "write an address of this machine, or take it out for any"
)]
#[case(
    "serve: {transfer: {concurrent: 0}}",
    "2:32",
    "serve.transfer.concurrent: `0` is no whole number above 0",
    "write a number such as 100"
)]
#[case(
    "serve: {transfer: {history: {change: 5}}}",
    "2:30",
    "serve.transfer.history.change: is no known setting",
    "did you mean `changes`?"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:853, transports: [dot]}]}",
    "2:18",
    "serve.listen[0].certificate: is missing",
    "write certificate: CHAIN.pem and key: KEY.pem"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:853, transports: [dot], certificate: @/none.pem, key: @/k.pem}]}",
    "2:75",
    "serve.listen[0].certificate: the certificate file @/none.pem cannot be read: No such file or directory (os error 2)",
    "name a PEM file with a certificate that this user can read"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:853, transports: [doq], certificate: @/c.pem, key: @/c.pem}]}",
    "2:0",
    "serve.listen[0].key: there is no private key in @/c.pem",
    "name a PEM file with a private key that this user can read"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:53, certificate: @/c.pem}]}",
    "2:55",
    "serve.listen[0].certificate: is for dot, doh and doq alone",
    "take it out, or name what is encrypted"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:53, path: /dns-query}]}",
    "2:48",
    "serve.listen[0].path: is for doh alone",
    "take it out, or write transports: [doh]"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:443, transports: [doh], certificate: @/c.pem, key: @/k.pem, path: 'dns{?dns}'}]}",
    "2:0",
    "serve.listen[0].path: `dns{?dns}` is a URI template",
    "write its path alone: dns"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:443, transports: [dot, doh], certificate: @/c.pem, key: @/k.pem}]}",
    "2:55",
    "serve.listen[0].transports: dot and doh would share one TCP port",
    "give each an entry of its own: port 853 for dot, port 443 for doh"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:443, transports: [udp, tcp, dot]}]}",
    "2:55",
    "serve.listen[0].transports: what is encrypted would share a port with what is not",
    "give each an entry of its own: one with [udp, tcp], one with [dot, doq]"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:443, transports: [tls]}]}",
    "2:56",
    "serve.listen[0].transports: `tls` is not known here",
    "write one of udp, tcp, dot, doh, doq"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:443, transports: []}]}",
    "2:55",
    "serve.listen[0].transports: is empty",
    "write [udp, tcp], [dot], [doh] or [doq], or leave it out"
)]
#[case(
    "serve: {listen: [127.0.0.1:853, {address: 127.0.0.1:853, transports: [doq], certificate: @/c.pem, key: @/k.pem}]}",
    "2",
    "serve.listen: 127.0.0.1:853 stands there twice",
    "name each address once"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:53, payload: 8192}]}",
    "2:51",
    "serve.listen[0].payload: `8192` is no size of a UDP answer",
    "write 512 to 4096 octets; 1232 passes every path"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:53, transfers: never}]}",
    "2:53",
    "serve.listen[0].transfers: `never` is neither true nor false",
    "write true or false"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:53, connections: 0}]}",
    "2:55",
    "serve.listen[0].connections: `0` is no whole number above 0",
    "write a number such as 100"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:53, connections: 5, connectionsPerClient: 6}]}",
    "2:80",
    "serve.listen[0].connectionsPerClient: is more than all connections together",
    "write 1 to 5"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:53, idleTimeout: 2h}]}",
    "2:55",
    "serve.listen[0].idleTimeout: `2h` is no time that a client can be told (RFC 7828 section 3.1)",
    "write 100ms to 1h49m13s"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:53, lifetime: 5s}]}",
    "2:52",
    "serve.listen[0].lifetime: is shorter than idleTimeout",
    "write 10s or more"
)]
#[case(
    "serve: {listen: [{address: 127.0.0.1:53, idle: 5s}]}",
    "2:42",
    "serve.listen[0].idle: is no known setting",
    "did you mean `idleTimeout`?"
)]
#[case(
    "serve: {keys: [{algorithm: hmac-sha256}]}",
    "2:16",
    "serve.keys[0].secret: is missing",
    "write {name: transfer-key, algorithm: hmac-sha256, secretFile: FILE}"
)]
#[case(
    "serve: {keys: [{name: a, secret: 'hush!'}]}",
    "2:34",
    "serve.keys[0].secret: is no base64",
    "write base64, as `tsig-keygen` prints it"
)]
#[case(
    "serve: {keys: [{name: a, secret: aHVzaA==, secretFile: @/empty}]}",
    "2:56",
    "serve.keys[0].secretFile: stands beside a secret",
    "keep one of them"
)]
#[case(
    "serve: {keys: [{name: a, algorithm: hmac-md5, secret: aHVzaA==}]}",
    "2:37",
    "serve.keys[0].algorithm: `hmac-md5` must not be used (RFC 8945 section 6)",
    "make a new key: tsig-keygen -a hmac-sha256"
)]
#[case(
    "serve: {keys: [{name: a, algorithm: hmac-sha265, secret: aHVzaA==}]}",
    "2:37",
    "serve.keys[0].algorithm: `hmac-sha265` is not known here",
    "did you mean hmac-sha256? Known are hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha256-128, hmac-sha384, hmac-sha384-192, hmac-sha512, hmac-sha512-256"
)]
#[case(
    "serve: {keys: [{name: a, secret: aHVzaA==}, {name: A., secret: aHVzaA==}]}",
    "2:52",
    "serve.keys[1].name: `a` stands there twice",
    "keep one of them"
)]
#[case(
    "serve: {keys: [{secret: aHVzaA==}]}",
    "2:16",
    "serve.keys[0].name: is missing",
    "write {name: transfer-key, algorithm: hmac-sha256, secretFile: FILE}"
)]
#[case(
    "serve: {keys: [{name: a, secretFile: @/none}]}",
    "2:38",
    "serve.keys[0].secretFile: the secret file @/none cannot be read: No such file or directory (os error 2)",
    "name a file that this user can read"
)]
#[case(
    "serve: {keys: [{name: a, secretFile: @/empty}]}",
    "2:38",
    "serve.keys[0].secretFile: @/empty is empty",
    "write base64 alone, or one key \"NAME\" { algorithm …; secret \"…\"; };"
)]
#[case(
    "serve: {keys: [{name: a, secretFile: @/bind.key}]}",
    "2:38",
    "serve.keys[0].secretFile: @/bind.key has no key `a`",
    "write base64 alone, or one key \"NAME\" { algorithm …; secret \"…\"; };"
)]
#[case(
    "serve: {keys: [{secretFile: @/wild.key}]}",
    "2:29",
    "serve.keys[0].secretFile: `a..b` is no name: a label is empty",
    "write a name such as transfer-key"
)]
#[case(
    "serve: {keys: [{secretFile: @/bad.key}]}",
    "2:29",
    "serve.keys[0].secretFile: @/bad.key has more in it than key statements",
    "write base64 alone, or one key \"NAME\" { algorithm …; secret \"…\"; };"
)]
#[case(
    "serve: {keys: [{algorithm: hmac-sha1, secretFile: @/bind.key}]}",
    "2:28",
    "serve.keys[0].algorithm: is not the algorithm of the secret file, which is hmac-sha512",
    "take it out here"
)]
#[case(
    "serve: {zones: [{apex: example.com, transfer: {keys: [transfer-kye]}}], keys: [{name: transfer-key, secret: aHVzaA==}]}",
    "2:55",
    "serve.zones[0].transfer.keys[0]: there is no key `transfer-kye`",
    "did you mean transfer-key?"
)]
#[case(
    "serve: {zones: [{apex: example.com, transfer: {notify: [{address: 192.0.2.1, key: a}]}}]}",
    "2:83",
    "serve.zones[0].transfer.notify[0].key: there is no key `a`",
    "name the key under serve.keys"
)]
#[case(
    "serve: {zones: [{apex: example.com, transfer: {notify: [{key: a}]}}]}",
    "2:57",
    "serve.zones[0].transfer.notify[0]: has no address",
    "write {address: 192.0.2.53, key: transfer-key}"
)]
#[case(
    "serve: {zones: [{apex: example.com, transfer: {notify: [ns2.example.com]}}]}",
    "2:57",
    "serve.zones[0].transfer.notify[0]: `ns2.example.com` is no address of a server",
    "write 192.0.2.53, or with a port other than 53: 192.0.2.53:5300, [2001:db8::53]:5300"
)]
#[case(
    "serve: {zones: [{apex: example.com, transfer: {allow: [192.0.2.1/24]}}]}",
    "2:56",
    "serve.zones[0].transfer.allow[0]: `192.0.2.1/24` has bits set behind its prefix",
    "write 192.0.2.0/24, or 192.0.2.1 for the one address"
)]
#[case(
    "serve: {zones: [{apex: example.com, transfer: {keys: []}}]}",
    "2:54",
    "serve.zones[0].transfer.keys: is empty",
    "name a key, or take it out"
)]
#[case(
    "serve: {zones: [{apex: example.com, transfer: {alow: []}}]}",
    "2:48",
    "serve.zones[0].transfer.alow: is no known setting",
    "did you mean `allow`?"
)]
#[case(
    "serve: {zones: [{apex: example.com, transfer: {rules: [{}]}}]}",
    "2:56",
    "serve.zones[0].transfer.rules[0]: would let everybody in",
    "name addresses in allow, or keys, or both"
)]
#[case(
    "serve: {zones: [{apex: example.com, transfer: {allow: ['::1'], rules: [{allow: ['::1']}]}}]}",
    "2:71",
    "serve.zones[0].transfer.rules: stands beside allow or keys",
    "write {allow: […], keys: […]} into the list of rules"
)]
#[case(
    "serve: {keys: [{name: a, secret: aHVzaA==}], transfer: {allow: [], keys: [a]}}",
    "2",
    "serve.transfer.allow: is empty, and both allow and keys must hold",
    "take it out, so that a key is enough from any address, or name addresses"
)]
#[case(
    "serve: {transfer: {keys: [b]}}",
    "2:27",
    "serve.transfer.keys[0]: there is no key `b`",
    "name the key under serve.keys"
)]
#[case(
    "serve: {nsid: '0xabc'}",
    "2:15",
    "serve.nsid: `0xabc` is not hexadecimal",
    "write a text, or an even number of hexadecimal digits behind 0x"
)]
#[case(
    "serve: {cookies: {secret: hush}}",
    "2:27",
    "serve.cookies.secret: is no secret of 128 bits (RFC 9018 section 4.4)",
    "write 32 hexadecimal digits, in quotes: `openssl rand -hex 16` makes them"
)]
#[case(
    "serve: {cookies: {otherSecret: '445536bcd2513298075a5d379663c962'}}",
    "2",
    "serve.cookies.otherSecret: stands without a secret",
    "write the secret that makes new cookies as serve.cookies.secret"
)]
#[case(
    "serve: {cookies: {secret: '445536bcd2513298075a5d379663c962', secretFile: @/cookies}}",
    "2",
    "serve.cookies.secretFile: stands beside a secret",
    "keep one of them"
)]
#[case(
    "serve: {cookies: {secretFile: @/three}}",
    "2:31",
    "serve.cookies.secretFile: @/three has more than two secrets",
    "write one or two lines of 32 hexadecimal digits: the first makes cookies, the second counts too"
)]
#[case(
    "serve: {cookies: off}",
    "2:18",
    "serve.cookies: is a single value",
    "write a mapping with some of the keys enabled, secret, otherSecret, secretFile"
)]
#[case(
    "serve: {rateLimit: {responsesPerSecond: -1}}",
    "2:41",
    "serve.rateLimit.responsesPerSecond: `-1` is no number of answers",
    "write a whole number from 0 to 1000000"
)]
#[case(
    "serve: {rateLimit: {ipv4Prefix: 33}}",
    "2:33",
    "serve.rateLimit.ipv4Prefix: `33` is no prefix length",
    "write 1 to 32"
)]
#[case(
    "serve: {queryLog: {sample: 10}}",
    "2",
    "serve.queryLog.sample: stands without a place to write to",
    "set serve.queryLog.file too, or take it out"
)]
#[case(
    "serve: {queryLog: {file: @/none/queries}}",
    "2:26",
    "serve.queryLog.file: @/none/queries cannot be made, because there is no folder @/none",
    "make the folder, or name another one"
)]
#[case(
    "serve: {user: 'a:b:c'}",
    "2:15",
    "serve.user: `a:b:c` is no user",
    "write a user, or a user and a group: mcdns, mcdns:dns"
)]
#[case(
    "serve: {workers: 0}",
    "2:18",
    "serve.workers: `0` is no number of workers",
    "write 1 to 1024, or take it out for one worker a core"
)]
fn each_fault_of_the_server_names_its_place_and_what_would_be_right(
    #[case] text: &str,
    #[case] place: &str,
    #[case] message: &str,
    #[case] help: &str,
) {
    let error = refused(&format!("{text}\n"));
    let first: Vec<_> = error.lines().take(2).collect();
    let (found, rest) = first[0].split_once(": error[refused-setting]: ").expect(&error);
    assert_eq!((rest, first[1]), (message, format!("  help: {help}").as_str()), "{error}");
    // Columns behind the path of the folder of the test are not the same each time.
    let place = place.strip_suffix(":0").unwrap_or(place);
    assert!(found.starts_with(&format!("settings.yaml:{place}")), "{place}: {error}");
    assert!(!error.contains("hush") && !error.contains("aHVzaA"), "a secret is told: {error}");
}
