//! What is written about the commands, from their table: the man page, the reference, and what shells read to complete them.

use super::front::Failure;
use super::help::flags;
use super::table::{Command, Section, grammar};
use roff::{Roff, bold, roman};
use std::io::Write;

/// The manual page culvert(1), in troff.
pub(super) fn man(out: &mut dyn Write) -> Result<(), Failure> {
    let mut page = Roff::new();
    page.control("TH", ["CULVERT", "1", "", concat!("culvert ", env!("CARGO_PKG_VERSION")), "culvert"]);
    page.control("SH", ["NAME"]).text([roman("culvert - asks and orders a running WireGuard gateway, culvertd(8)")]);
    page.control("SH", ["SYNOPSIS"]).text([bold("culvert"), roman(" [FLAG]... [COMMAND] [| FILTER]...")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(
        "Without a command it is a shell with history and completion, where ? lists what may come next; where the standard input is \
         no terminal, it does the lines of that. Words may be cut short as long as they stay clear. What comes behind | goes over the \
         output: include RE, exclude RE, count.",
    )]);
    page.control("SH", ["FLAGS"]);
    for (name, what) in flags() {
        page.control("TP", []).text([bold(name)]).text([roman(what)]);
    }
    for section in Section::ALL {
        page.control("SH", [format!("COMMANDS: {}", section.name()).as_str()]).text([roman(section.about())]);
        for command in of(section) {
            page.control("TP", []).text([bold(command.usage)]).text([roman(sentence(command))]);
        }
    }
    page.control("SH", ["EXIT STATUS"]);
    page.text([roman("0 done; 1 failed; 2 there is no such command; 3 no gateway.")]);
    page.control("SH", ["ENVIRONMENT"]);
    page.text([roman("NO_COLOR: if it is not empty, nothing is bold. Where the output is no terminal, nothing is.")]);
    page.control("SH", ["SEE ALSO"]).text([roman("culvertd(8), culvert.toml(5), wg(8)")]);
    Ok(write!(out, "{}", page.render())?)
}

/// The reference of all commands, in Markdown: `src/cli/COMMANDS.md` is this.
#[cfg(test)]
pub(super) fn reference() -> String {
    use super::table::Action;
    use std::fmt::Write as _;
    let mut text = String::from(
        "# culvert's commands\n\n\
         Made from the command table (`src/cli/table`); a test compares. `culvert help` says the same, `culvert man` as a manual page.\n\n\
         Words may be cut short: `culvert sh dr`. Behind a command: `| include RE`, `| exclude RE`, `| count`. The keys are those of the \
         answer with `--json`, which stay as they are; `rows[].name` is `name` in each of the list `rows`. Some may be missing or `null` \
         where there is nothing to say.\n\n## Flags\n\n",
    );
    for (name, what) in flags() {
        let _ = writeln!(text, "* `{name}`: {what}");
    }
    for section in Section::ALL {
        let _ = writeln!(text, "\n## {}\n\n{}.", section.name(), section.about());
        for command in of(section) {
            let _ = writeln!(text, "\n### `{}`\n{}", command.usage, sentence(command));
            let (place, answer) = match command.action {
                Action::Ask(_, answer) | Action::Send(_, answer) => ("Keys", answer),
                Action::Order(_, answer) => ("Keys, in `culvert pmd`", answer),
                Action::Local(_) | Action::Follow(_) => continue,
            };
            let keys: Vec<String> = answer.keys().into_iter().map(|key| format!("`{key}`")).collect();
            let _ = writeln!(text, "\n{place}: {}.", keys.join(", "));
        }
    }
    text
}

fn of(section: Section) -> impl Iterator<Item = &'static Command> {
    grammar().commands().filter(move |command| command.section == section)
}

fn sentence(command: &Command) -> String {
    let mut chars = command.help.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let gap = if command.more.is_empty() { "" } else { " " };
    format!("{first}{}.{gap}{}", chars.as_str(), command.more)
}

/// What a shell reads to complete culvert's commands: it asks `culvert complete` each time, so it is never out of date.
pub(super) fn completions(shell: &str, out: &mut dyn Write) -> Result<(), Failure> {
    let script = match shell {
        "bash" => BASH,
        "zsh" => ZSH,
        _ => FISH,
    };
    Ok(out.write_all(script.as_bytes())?)
}

const BASH: &str = r#"_culvert() {
    local IFS=$'\n'
    COMPREPLY=($(culvert complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1))
}
complete -o default -F _culvert culvert
"#;

const ZSH: &str = r#"#compdef culvert
_culvert() {
    local -a lines
    lines=("${(@f)$(culvert complete -- "${(@)words[2,CURRENT]}" 2>/dev/null | sed 's/:/\\:/g; s/\t/:/; s/:$//')}")
    [[ -n "$lines" ]] && _describe culvert lines || _files
}
compdef _culvert culvert
"#;

const FISH: &str = r#"function __culvert
    set -l words (commandline -opc) (commandline -ct)
    set -l candidates (culvert complete -- $words[2..-1] 2>/dev/null)
    if test (count $candidates) -gt 0
        printf '%s\n' $candidates
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c culvert -f -a '(__culvert)'
"#;
