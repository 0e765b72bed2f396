//! Examples of commands that say more about the program than about DNS.

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
