//! Where the profiles of a leaderboard's members come from.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Fault;
use crate::types::{Member, read_object};

/// Where one member stands in a URL, or several with commas between.
const ONE: &str = "{member}";
const SEVERAL: &str = "{members}";
/// Stands there while a URL is looked at.
const SAMPLE: &str = "ranqsamplemember";
/// All but what is never encoded in a URL (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const MAX_URL_BYTES: usize = 1024;
/// Members in one request.
const MOST_AT_ONCE: usize = 100;
/// What the members of one request may take in its URL: many servers refuse more than 8 KiB in all.
const MOST_AT_ONCE_BYTES: usize = 6000;
const TTL_MS: std::ops::RangeInclusive<u64> = 1000..=24 * 3600 * 1000;
const MAX_STALE_MS: u64 = 7 * 24 * 3600 * 1000;

/// The URL that a member's profile, or those of several, are asked for at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileUrl(Box<Parts>);

/// In a box: most leaderboards have none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    text: String,
    /// What stands before the members and behind them, as URLs are written.
    before: String,
    after: String,
    takes_several: bool,
}

impl TryFrom<String> for ProfileUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > MAX_URL_BYTES {
            return Err(format!("must be at most {MAX_URL_BYTES} bytes"));
        }
        let (one, several) = (text.matches(ONE).count(), text.matches(SEVERAL).count());
        if one + several != 1 || text.contains(SAMPLE) {
            return Err(format!("must have `{ONE}` or `{SEVERAL}` in it, once"));
        }
        let sample = text.replace(if one == 1 { ONE } else { SEVERAL }, SAMPLE);
        if sample.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err("must have no spaces".to_owned());
        }
        let url = Url::parse(&sample).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or("must be a URL that begins with http:// or https://")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must have no user and no password".to_owned());
        }
        if url.fragment().is_some() {
            return Err("must have no `#`".to_owned());
        }
        let in_place = url.host_str().is_some_and(|host| !host.contains(SAMPLE));
        let parts = url.as_str().split_once(SAMPLE).filter(|_| in_place);
        let (before, after) = parts.ok_or_else(|| format!("must have `{ONE}` or `{SEVERAL}` in its path or query"))?;
        let (before, after) = (before.to_owned(), after.to_owned());
        Ok(Self(Box::new(Parts { text, before, after, takes_several: several == 1 })))
    }
}

impl From<ProfileUrl> for String {
    fn from(url: ProfileUrl) -> Self {
        url.0.text
    }
}

impl ProfileUrl {
    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether one request is for several members.
    pub fn takes_several(&self) -> bool {
        self.0.takes_several
    }

    /// Where it leads, whoever is asked for.
    pub fn place(&self) -> Option<Url> {
        Url::parse(&self.0.before).ok()
    }

    /// Where to ask for these members. None where no URL names them: a path cannot end in a member `..`.
    pub fn of(&self, members: &[&Member]) -> Option<Url> {
        let encoded: Vec<String> = members.iter().map(|member| encoded(member)).collect();
        let text = format!("{}{}{}", self.0.before, encoded.join(","), self.0.after);
        // Where something was taken out of the path, it would lead elsewhere.
        Url::parse(&text).ok().filter(|url| url.as_str() == text)
    }

    /// How many of the first of these members one request is for.
    pub fn first(&self, members: &[&Member]) -> usize {
        if !self.0.takes_several {
            return 1;
        }
        let mut bytes = 0;
        let fit = members.iter().take(MOST_AT_ONCE).take_while(|member| {
            bytes += encoded(member).len() + 1;
            bytes <= MOST_AT_ONCE_BYTES
        });
        fit.count().max(1)
    }
}

fn encoded(member: &Member) -> String {
    utf8_percent_encode(member.as_str(), ENCODED).to_string()
}

/// An upstream for what is shown of members, which reads add to entries with `profiles=true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ProfileSettings {
    /// Where to ask, `http` or `https`: with `{member}` for one member, which is answered with its profile, a JSON object, or 404;
    /// or with `{members}` for up to 100 with commas between, which are answered with an object of profiles by member. Members are
    /// percent-encoded. Addresses that are not public are refused, unless the service's `profiles_allow_private` says otherwise.
    #[schema(value_type = String, max_length = 1024, example = "https://example.com/users/{member}")]
    pub url: ProfileUrl,
    /// For how long a profile is taken for true, a tenth more or less.
    #[serde(default = "default_ttl")]
    #[schema(minimum = 1000, maximum = 86_400_000, default = 300_000, example = 300_000)]
    pub ttl_ms: u64,
    /// For how much longer it is shown while it is asked for anew, or the upstream does not answer.
    #[serde(default = "default_stale")]
    #[schema(minimum = 0, maximum = 604_800_000, default = 3_600_000, example = 3_600_000)]
    pub stale_ms: u64,
}

read_object!(ProfileSettings, written);

fn default_ttl() -> u64 {
    300_000
}

fn default_stale() -> u64 {
    3_600_000
}

impl ProfileSettings {
    /// Every rule that they break.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !TTL_MS.contains(&self.ttl_ms) {
            let detail = format!("must be {} to {}", TTL_MS.start(), TTL_MS.end());
            faults.push(Fault::new("/profiles/ttl_ms", detail));
        }
        if self.stale_ms > MAX_STALE_MS {
            faults.push(Fault::new("/profiles/stale_ms", format!("must be 0 to {MAX_STALE_MS}")));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ProfileUrl, String> {
        ProfileUrl::try_from(text.to_owned())
    }

    fn member(text: &str) -> Member {
        Member::try_from(text.to_owned()).expect("a member")
    }

    #[test]
    fn members_are_encoded_where_they_stand() {
        let of = |template: &str, name: &str| {
            let url = parse(template).expect(template).of(&[&member(name)]);
            url.map(|url| url.as_str().to_owned())
        };
        let path = "HTTPS://Example.com:443/a/../users/{member}";
        for (name, encoded) in [
            ("ann", "ann"),
            ("a/b?c#d", "a%2Fb%3Fc%23d"),
            ("%2e%2e", "%252e%252e"),
            ("a b,c", "a%20b%2Cc"),
            ("å", "%C3%A5"),
            ("{member}", "%7Bmember%7D"),
            ("...", "..."),
        ] {
            let expected = format!("https://example.com/users/{encoded}");
            assert_eq!(of(path, name).as_deref(), Some(expected.as_str()), "{name}");
        }
        // A path would lead elsewhere.
        assert_eq!((of(path, ".."), of(path, ".")), (None, None));
        assert_eq!(of("http://a/{member}.json", "..").as_deref(), Some("http://a/...json"));
        assert_eq!(of("http://a/?id={member}&x=1", "..").as_deref(), Some("http://a/?id=..&x=1"));
    }

    #[test]
    fn several_members_have_commas_between_and_a_url_has_an_end() {
        let url = parse("http://a/users?ids={members}").expect("valid");
        let both = url.of(&[&member("a,b"), &member("c")]).expect("a URL");
        assert_eq!(both.as_str(), "http://a/users?ids=a%2Cb,c");
        let (short, long) = (member("ann"), member(&"å".repeat(64)));
        assert_eq!(url.first(&[&short; 1000]), 100);
        assert_eq!(url.first(&[&long; 1000]), 15);
        assert_eq!(parse("http://a/{member}").expect("valid").first(&[&short; 1000]), 1);
    }

    #[test]
    fn a_url_that_is_none_is_told() {
        for (text, detail) in [
            ("https://a/users", "`{member}` or `{members}` in it"),
            ("https://a/{member}/{member}", "once"),
            ("https://a/{member}/{members}", "once"),
            ("ftp://a/{member}", "http:// or https://"),
            ("/users/{member}", "http:// or https://"),
            ("{member}", "http:// or https://"),
            ("https:///{member}", "in its path or query"),
            ("https://{member}.a/", "in its path or query"),
            ("https://{member}@a/", "no user"),
            ("https://ann:secret@a/{member}", "no user"),
            ("https://a/#{member}", "no `#`"),
            ("https://a/ {member}", "no spaces"),
            ("https://a:99999/{member}", "http:// or https://"),
            (&format!("https://a/{}{{member}}", "x".repeat(1024)), "at most 1024"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(detail), "{text}: {error}");
        }
    }
}
