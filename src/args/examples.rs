//! Examples of the help; a test parses every one of them.

pub(super) const TOP_EXAMPLES: &str = "\
Examples:
  mcdns run deploy/demo/two-regions
      Answer for the demo federation on 127.0.0.1:5300
  mcdns records deploy/demo/two-regions
      Print the zones of the demo federation
  mcdns explain web.shop.galactic.svc.example.com deploy/demo/two-regions
      Tell why a name is answered as it is

Exit codes: 0 fine; 1 something wanted is not published, or answers differ; 2 wrong usage or refused settings.
As `kubectl-mcdns` on the PATH, the program is also `kubectl mcdns`.";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  mcdns run deploy/demo/two-regions
      On 127.0.0.1:5300, with admin pages on 127.0.0.1:8080
  mcdns run /srv/federation --listen 192.0.2.1:53 --listen [::1]:53 --state-dir state
      As a server for others, which knows after a restart what it knew before
  mcdns run /srv/federation --hosts /srv/federation.hosts
      Without a resolver: host names of load balancers stand in a file
  mcdns run --kubeconfig /etc/mcdns/kubeconfig --state-dir /srv/mcdns
      The host cluster that the kubeconfig names, with all members that are joined there
  mcdns run --skydns http://127.0.0.1:2379 --skydns-zone example.org
      Keys that external-dns writes, answered as CoreDNS answers them
  mcdns run --settings /etc/mcdns.yaml --log-format json
      Everything from a settings file, with a log for programs";

pub(super) const SERVE_EXAMPLES: &str = "\
Examples:
  mcdns serve zones/examples/example.com.zone
      One zone on 127.0.0.1:5300
  mcdns serve /etc/zones/example.com.zone /etc/zones/example.net.zone --listen 0.0.0.0:53
      Two zones for everybody
  mcdns serve zones/examples/example.com.zone --state-dir state
      Secondaries get changes incrementally, also those that were made while it was down
  mcdns serve zones/examples/example.com.zone --listen 127.0.0.1:0 --admin 127.0.0.1:0
      On free ports, which the log names";

pub(super) const RECORDS_EXAMPLES: &str = "\
Examples:
  mcdns records deploy/demo/two-regions
      Each zone as a master file
  mcdns records deploy/demo/two-regions --zone example.com
      One zone alone
  mcdns records deploy/demo/bare-metal -o yaml
      The objects with their status, as kubectl would print them
  mcdns records --context host
      What the live host cluster makes
  mcdns records /srv/federation -o json --hosts /srv/federation.hosts
      For a program, with host names resolved from a file";

pub(super) const CHECK_EXAMPLES: &str = "\
Examples:
  mcdns check deploy/demo/two-regions
      A federation directory
  mcdns check /etc/mcdns.yaml zones/examples/example.com.zone
      Settings and a master file
  mcdns check -o json /srv/federation
      For a program
  mcdns check --delegation example.com
      Whether the parent zone and the servers of example.com agree
  mcdns check --delegation example.com zones/examples/example.com.zone --server 192.0.2.1
      Before the servers are named at the parent: against a file, at an address of our own
  mcdns check --delegation corp.example --parent 10.0.0.53 --resolver 10.0.0.54
      In a private tree, whose parent zone is at 10.0.0.53";

pub(super) const LOOKUP_EXAMPLES: &str = "\
Examples:
  mcdns lookup web.shop.galactic.svc.example.com --server 127.0.0.1:5300
      A and AAAA, from one server
  mcdns lookup web.shop.galactic.svc.example.com AAAA --server 192.0.2.1 --server 192.0.2.2
      Whether two servers agree
  mcdns lookup example.com SOA --settings /etc/mcdns.yaml
      Serials at every server of the settings";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  mcdns explain web.shop.galactic.svc.example.com deploy/demo/two-regions
      From a directory
  mcdns explain web.shop.galactic.svc.example.com
      From the running program, at 127.0.0.1:8080
  mcdns explain web.shop.galactic.svc.example.com --history --type A
      What changed when and why
  mcdns explain web.shop.galactic.svc.example.com -o json --admin 127.0.0.1:9080
      For a program, from another admin address";

pub(super) const SETTINGS_EXAMPLES: &str = "\
Examples:
  mcdns settings
      Defaults and variables
  mcdns settings --settings /etc/mcdns.yaml --listen 192.0.2.1:53
      A file with a flag over it";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  mcdns completions bash
      To be written to /etc/bash_completion.d/mcdns, or read by `source <(mcdns completions bash)`
  mcdns completions zsh
      To be written to a folder of $fpath, as _mcdns
  mcdns completions fish
      To be written to ~/.config/fish/completions/mcdns.fish";
