//! `ranq token`

use std::str::FromStr as _;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{Outcome, Settings};
use crate::auth::{Caller, GivenToken, NewToken, Pattern, Rights, Scope, Token, Tokens};
use crate::db::{Db, Keyspace};
use crate::metrics::Metrics;
use crate::types::{Clock, Limit, RateLimit, Timestamp, TokenId, parse_span_ms};

const WHAT_IT_DOES: &str = "\
It works on the Redis of the settings, that of a running service included (the private one by its data directory), with all
rights: whoever may use that Redis is trusted. A token's text is written to standard output, once; what is known of it to
standard error.

Scopes: leaderboards:read, scores:write, leaderboards:admin, jobs:enqueue, jobs:work, queues:read, queues:admin, tokens:admin,
admin (all).";

#[derive(Debug, Args)]
#[command(after_help = WHAT_IT_DOES)]
pub(super) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes a token.
    Create(CreateOptions),
    /// Lists tokens, the oldest first.
    List(ListOptions),
    /// Gives a token another text; the present one opens until the overlap is over.
    Rotate(RotateOptions),
    /// Ends tokens: within a second no service takes them any more.
    Revoke(RevokeOptions),
}

#[derive(Debug, Args)]
struct CreateOptions {
    #[command(flatten)]
    settings: Settings,
    /// What the token is for.
    #[arg(value_name = "NAME")]
    name: String,
    /// A scope; may be given again.
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<String>,
    /// A leaderboard that it reaches, or the beginning of names and then `*`; may be given again [default: all].
    #[arg(long = "leaderboard", value_name = "PATTERN")]
    leaderboards: Vec<String>,
    /// A queue that it reaches, likewise [default: all].
    #[arg(long = "queue", value_name = "PATTERN")]
    queues: Vec<String>,
    /// The only member whose scores can be submitted with it.
    #[arg(long, value_name = "MEMBER")]
    member: Option<String>,
    /// After what time it ends, such as 90s, 12h or 30d [default: never; of a member 1h].
    #[arg(long, value_name = "TIME", value_parser = parse_span_ms)]
    expires_in: Option<u64>,
    /// How many requests it may make in what time, such as 600/1m.
    #[arg(long, value_name = "LIMIT/TIME", value_parser = RateLimit::from_str)]
    rate_limit: Option<RateLimit>,
    /// Writes one JSON object to standard output, the text in it.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListOptions {
    #[command(flatten)]
    settings: Settings,
    /// Writes a JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RotateOptions {
    #[command(flatten)]
    settings: Settings,
    /// The token's id.
    #[arg(value_name = "ID")]
    id: String,
    /// For how long the present text opens, too; 0s ends it at once.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_span_ms)]
    overlap: u64,
    /// Writes one JSON object to standard output, the text in it.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RevokeOptions {
    #[command(flatten)]
    settings: Settings,
    /// The ids of the tokens.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
}

pub(super) fn run(options: Options) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match options.verb {
            Verb::Create(options) => create(options).await,
            Verb::List(options) => list(options).await,
            Verb::Rotate(options) => rotate(options).await,
            Verb::Revoke(options) => revoke(options).await,
        }
    })
}

fn tokens(settings: Settings) -> Result<Tokens, Box<dyn std::error::Error>> {
    let config = settings.load()?;
    let db = Db::beside(&config.redis, config.redis_timeout, Metrics::default())?;
    Ok(Tokens::new(db, Keyspace::new(&config.key_prefix), Clock::Server))
}

async fn create(options: CreateOptions) -> Outcome {
    let rights = Rights {
        scopes: options.scopes.iter().map(|name| read_scope(name)).collect::<Result<_, _>>()?,
        leaderboards: patterns("--leaderboard", options.leaderboards)?,
        queues: patterns("--queue", options.queues)?,
        member: options.member.map(TryInto::try_into).transpose().map_err(|detail| format!("--member {detail}"))?,
    };
    let name = options.name.try_into().map_err(|detail| format!("NAME {detail}"))?;
    let (expires_in_ms, rate_limit) = (options.expires_in, options.rate_limit);
    let new = NewToken { name, rights, expires_in_ms, rate_limit };
    let given = tokens(options.settings)?.create(&Caller::Admin, new, None).await?;
    show_text(&given, options.json);
    Ok(())
}

async fn list(options: ListOptions) -> Outcome {
    let tokens = tokens(options.settings)?;
    let mut after = None;
    loop {
        let (found, next) = tokens.list(&Caller::Admin, after, Limit::MOST).await?;
        for token in found {
            println!("{}", if options.json { in_json(&token).to_string() } else { in_words(&token) });
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn rotate(options: RotateOptions) -> Outcome {
    let id = read_id(options.id)?;
    let given = tokens(options.settings)?.rotate(&Caller::Admin, &id, options.overlap, None).await?;
    show_text(&given, options.json);
    Ok(())
}

async fn revoke(options: RevokeOptions) -> Outcome {
    let ids = options.ids.into_iter().map(read_id).collect::<Result<Vec<TokenId>, _>>()?;
    let tokens = tokens(options.settings)?;
    for id in ids {
        tokens.revoke(&Caller::Admin, &id).await?;
        eprintln!("{id} is revoked");
    }
    Ok(())
}

fn show_text(given: &GivenToken, as_json: bool) {
    if as_json {
        let mut value = in_json(&given.token);
        value["token"] = json!(given.text.expose_secret());
        println!("{value}");
        return;
    }
    eprintln!("{}", in_words(&given.token));
    println!("{}", given.text.expose_secret());
}

fn in_words(token: &Token) -> String {
    let rights = &token.facts.rights;
    let list = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut words = vec![token.id.to_string(), format!("`{}`", token.facts.name)];
    words.push(rights.scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    words.extend(rights.leaderboards.as_deref().map(|patterns| format!("leaderboards {}", list(patterns))));
    words.extend(rights.queues.as_deref().map(|patterns| format!("queues {}", list(patterns))));
    words.extend(rights.member.as_ref().map(|member| format!("member `{member}`")));
    words.extend(token.facts.rate_limit.map(|rate| rate.to_string()));
    words.push(format!("made {} by `{}`", token.created_at, token.facts.created_by.name));
    words.extend(token.expires_at.map(|at| format!("ends {at}")));
    words.extend(token.overlaps_until.map(|at| format!("old text until {at}")));
    words.extend(token.last_used_at.map(|at| format!("used {at}")));
    words.join("  ")
}

fn in_json(token: &Token) -> Value {
    let mut value = serde_json::to_value(&token.facts).unwrap_or_else(|_| json!({}));
    value["id"] = json!(token.id);
    let times: [(&str, Option<Timestamp>); 4] = [
        ("created_at", Some(token.created_at)),
        ("expires_at", token.expires_at),
        ("last_used_at", token.last_used_at),
        ("overlaps_until", token.overlaps_until),
    ];
    for (name, at) in times.into_iter().filter_map(|(name, at)| Some((name, at?))) {
        value[name] = json!(at);
    }
    value
}

fn read_id(text: String) -> Result<TokenId, String> {
    TokenId::try_from(text).map_err(|detail| format!("ID {detail}"))
}

fn read_scope(name: &str) -> Result<Scope, String> {
    let names = Scope::ALL.map(Scope::name).join(", ");
    Scope::ALL.into_iter().find(|scope| scope.name() == name).ok_or(format!("--scope must be one of {names}"))
}

fn patterns(flag: &str, texts: Vec<String>) -> Result<Option<Vec<Pattern>>, String> {
    let patterns = texts.into_iter().map(|text| Pattern::try_from(text).map_err(|detail| format!("{flag} {detail}")));
    let patterns: Vec<Pattern> = patterns.collect::<Result<_, _>>()?;
    Ok((!patterns.is_empty()).then_some(patterns))
}
