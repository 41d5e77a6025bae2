//! Filters, order and limit: the same options on every command that goes through many entries.

use std::{any::Any, ffi::OsStr, marker::PhantomData};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    builder::{PossibleValue, TypedValueParser},
    error::ErrorKind,
};
use jiff::Timestamp;
use mseg::view::{Criterion, Direction, Field, Filter, State, TcpState, Verdict};

/// Which entries, in which order, and how many.
#[derive(Clone, Debug)]
pub(crate) struct Selection<E> {
    pub(crate) filter: Filter,
    pub(crate) sort: Option<Sort>,
    pub(crate) limit: Option<u64>,
    entries: PhantomData<E>,
}

/// What kind of entries is gone through: the fields they can be filtered by.
pub(crate) trait Entries: Any + Clone + Send + Sync {
    const FIELDS: &'static [Field];
}

/// Sessions.
#[derive(Clone, Debug)]
pub(crate) struct Sessions;

/// Denials.
#[derive(Clone, Debug)]
pub(crate) struct Denials;

impl Entries for Sessions {
    const FIELDS: &'static [Field] = &[
        Field::Src,
        Field::Dst,
        Field::Ip,
        Field::Sport,
        Field::Dport,
        Field::Port,
        Field::Proto,
        Field::State,
        Field::Verdict,
        Field::Rule,
        Field::Iface,
        Field::Direction,
        Field::Since,
    ];
}

impl Entries for Denials {
    const FIELDS: &'static [Field] = &[
        Field::Src,
        Field::Dst,
        Field::Ip,
        Field::Sport,
        Field::Dport,
        Field::Port,
        Field::Proto,
        Field::Rule,
        Field::Iface,
        Field::Direction,
        Field::Reason,
        Field::Since,
    ];
}

/// What to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sort {
    /// Most bytes first
    Bytes,
    /// Most packets first
    Packets,
    /// Oldest first
    Age,
    /// Latest packet first
    LastSeen,
}

const NOT: &str = "not";
const SORT: &str = "sort";
const LIMIT: &str = "limit";

impl<E: Entries> Args for Selection<E> {
    fn augment_args(command: Command) -> Command {
        let now = Timestamp::now();
        let heading = "Filters (repeat one for alternatives; several different ones must all match)";
        let filters = E::FIELDS.iter().map(|field| {
            let (value, help) = describe(*field);
            Arg::new(field.name())
                .long(field.name())
                .value_name(value)
                .help(help)
                .help_heading(heading)
                .action(ArgAction::Append)
                .value_parser(CriteriaParser { field: *field, now })
        });
        command
            .args(filters)
            .arg(
                Arg::new(NOT)
                    .long(NOT)
                    .help("What the next filter matches must not match")
                    .help_heading(heading)
                    .num_args(0)
                    .action(ArgAction::Append)
                    .value_parser(clap::value_parser!(bool))
                    .default_missing_value("true"),
            )
            .arg(
                Arg::new(SORT)
                    .long(SORT)
                    .value_name("KEY")
                    .help("Sort; without --limit all entries are held in memory for it")
                    .value_parser(clap::value_parser!(Sort)),
            )
            .arg(
                Arg::new(LIMIT)
                    .long(LIMIT)
                    .value_name("N")
                    .help("Stop after N entries")
                    .value_parser(clap::value_parser!(u64).range(1..)),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<E: Entries> FromArgMatches for Selection<E> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        /// An option in the order of the command line.
        enum Given<'a> {
            Not,
            Filter(Field, &'a Vec<Criterion>),
            Other,
        }
        let indices = |id: &str| matches.indices_of(id).into_iter().flatten();
        let mut given: Vec<_> = indices(NOT).map(|i| (i, Given::Not)).collect();
        for other in [SORT, LIMIT] {
            if matches.contains_id(other) {
                given.extend(indices(other).map(|i| (i, Given::Other)));
            }
        }
        for field in E::FIELDS {
            let values = matches.get_many::<Vec<Criterion>>(field.name()).into_iter().flatten();
            given.extend(indices(field.name()).zip(values).map(|(i, c)| (i, Given::Filter(*field, c))));
        }
        given.sort_by_key(|(index, _)| *index);

        let mut filter = Filter::default();
        let mut negated = false;
        for (_, option) in given {
            match option {
                Given::Not if negated => return Err(dangling_not()),
                Given::Not => negated = true,
                Given::Other if negated => return Err(dangling_not()),
                Given::Other => {}
                Given::Filter(field, criteria) => {
                    filter.add(field, criteria.clone(), negated);
                    negated = false;
                }
            }
        }
        if negated {
            return Err(dangling_not());
        }
        Ok(Self {
            filter,
            sort: matches.get_one(SORT).copied(),
            limit: matches.get_one(LIMIT).copied(),
            entries: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn dangling_not() -> clap::Error {
    clap::Error::raw(
        ErrorKind::MissingRequiredArgument,
        "'--not' must stand before a filter, such as --not --proto tcp\n",
    )
}

fn describe(field: Field) -> (&'static str, &'static str) {
    match field {
        Field::Src => ("ADDRESS", "Address or prefix of the client, which sent the first packet"),
        Field::Dst => ("ADDRESS", "Address or prefix of the server"),
        Field::Ip => ("ADDRESS", "Address or prefix of either side"),
        Field::Sport => ("PORT", "Port or range of the client"),
        Field::Dport => ("PORT", "Port or range of the server"),
        Field::Port => ("PORT", "Port or range of either side"),
        Field::Proto => ("PROTOCOL", "Protocol: tcp, udp, icmp, icmpv6, ... or a number"),
        Field::State => ("STATE", "State, or TCP sub-state"),
        Field::Verdict => ("VERDICT", "What the packets get"),
        Field::Rule => ("NAME", "Name of the rule that decided"),
        Field::Iface => ("NAME", "Name of the interface"),
        Field::Direction => ("DIRECTION", "Direction of the first packet, as the protected side sees it"),
        Field::Reason => ("REASON", "Reason of the denial; mseg(7) lists them"),
        Field::Since => ("TIME", "Last packet since then: 5m, 2h, 1d ago, or 2026-01-31T12:00:00Z"),
    }
}

/// Parses the value of a filter. Its own type because a value may be a list, while completion offers single names.
#[derive(Clone, Debug)]
struct CriteriaParser {
    field: Field,
    now: Timestamp,
}

impl TypedValueParser for CriteriaParser {
    type Value = Vec<Criterion>;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Self::Value, clap::Error> {
        let text = value.to_string_lossy();
        Criterion::parse(self.field, &text, self.now).map_err(|message| {
            let message = format!("invalid value '{text}' for '--{}': {message}\n", self.field);
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let names: Vec<_> = match self.field {
            Field::Verdict => Verdict::ALL.iter().map(|v| v.name()).collect(),
            Field::Direction => Direction::ALL.iter().map(|d| d.name()).collect(),
            Field::State => {
                let tcp = TcpState::ALL.iter().filter(|s| **s != TcpState::Established).map(|s| s.name());
                State::ALL.iter().map(|s| s.name()).chain(tcp).collect()
            }
            _ => return None,
        };
        Some(Box::new(names.into_iter().map(PossibleValue::new)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[arg(short)]
        json: bool,
        #[command(flatten)]
        selection: Selection<Sessions>,
    }

    fn filter(line: &str) -> Result<Filter, clap::Error> {
        Line::try_parse_from(std::iter::once("x").chain(line.split_whitespace())).map(|l| l.selection.filter)
    }

    fn criteria(field: Field, value: &str) -> Vec<Criterion> {
        Criterion::parse(field, value, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn not_negates_the_next_filter_and_no_other() {
        let mut expected = Filter::default();
        expected.add(Field::Proto, criteria(Field::Proto, "tcp"), false);
        expected.add(Field::Dport, criteria(Field::Dport, "80,443"), true);
        expected.add(Field::Dport, criteria(Field::Dport, "8000-9000"), false);
        assert_eq!(filter("--proto tcp --not --dport 80,443 --dport=8000-9000").unwrap(), expected);
        assert_eq!(filter("--proto=tcp --not -j --dport=80,443 --dport 8000-9000").unwrap(), expected);
    }

    #[test]
    fn not_may_be_repeated_before_several_filters() {
        let mut expected = Filter::default();
        expected.add(Field::Proto, criteria(Field::Proto, "tcp"), true);
        expected.add(Field::Proto, criteria(Field::Proto, "udp"), true);
        assert_eq!(filter("--not --proto tcp --not --proto udp").unwrap(), expected);
    }

    #[test]
    fn not_without_a_filter_after_it_is_wrong() {
        for line in
            ["--not", "--proto tcp --not", "--not --not --proto tcp", "--not --limit 3 --proto tcp", "--not --sort age"]
        {
            assert!(filter(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_wrong_value_names_the_option() {
        let message = filter("--dport http").unwrap_err().to_string();
        assert!(message.contains("'http' for '--dport': expected a port"), "{message}");
    }
}
