//! Names and ids as clients give them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What names of leaderboards and windows match, as a regular expression.
pub const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
/// What members match, as a regular expression for readers; the limit is 128 bytes of UTF-8.
pub const MEMBER_PATTERN: &str = r"^[^\u0000-\u001f\u007f-\u009f]{1,128}$";

const MAX_NAME_BYTES: usize = 64;
const MAX_MEMBER_BYTES: usize = 128;
const MAX_KEY_BYTES: usize = 128;
const MAX_REASON_CHARACTERS: usize = 500;
const TOKEN_ID_CHARACTERS: usize = 11;

fn check_name(text: &str) -> Result<(), String> {
    let mut bytes = text.bytes();
    let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let goes_on_well = bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if starts_well && goes_on_well && text.len() <= MAX_NAME_BYTES {
        return Ok(());
    }
    Err("must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit".to_owned())
}

fn check_member(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_MEMBER_BYTES {
        return Err(format!("must be 1 to {MAX_MEMBER_BYTES} bytes of UTF-8, this is {}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(())
}

fn check_id(text: &str) -> Result<(), String> {
    if matches!(text, "." | "..") {
        return Err("must not be `.` or `..`, which no path can name".to_owned());
    }
    check_member(text)
}

fn check_key(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("must be 1 to {MAX_KEY_BYTES} visible ASCII characters"));
    }
    Ok(())
}

fn check_token_id(text: &str) -> Result<(), String> {
    if text.len() != TOKEN_ID_CHARACTERS || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!("must be {TOKEN_ID_CHARACTERS} of 0-9 A-Z a-z"));
    }
    Ok(())
}

fn check_reason(text: &str) -> Result<(), String> {
    if text.is_empty() || text.chars().count() > MAX_REASON_CHARACTERS {
        return Err(format!("must be 1 to {MAX_REASON_CHARACTERS} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(())
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                $check(&text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text! {
    /// The name of a leaderboard: [`NAME_PATTERN`].
    LeaderboardName, check_name
}
checked_text! {
    /// The name of a leaderboard's window: [`NAME_PATTERN`].
    WindowName, check_name
}
checked_text! {
    /// The name of a queue: [`NAME_PATTERN`].
    QueueName, check_name
}
checked_text! {
    /// The name of a schedule of a queue: [`NAME_PATTERN`].
    ScheduleName, check_name
}
checked_text! {
    /// The id of a job, the same for ever within its queue: 1 to 128 bytes of UTF-8 without control characters, and neither `.`
    /// nor `..`, which clients take out of paths (RFC 3986, section 5.2.4).
    JobId, check_id
}
checked_text! {
    /// What must be unique among the jobs of a queue: 1 to 128 bytes of UTF-8 without control characters.
    UniqueKey, check_member
}
checked_text! {
    /// Whose a job is (a tenant, a player, an account): 1 to 128 bytes of UTF-8 without control characters.
    JobKey, check_member
}
checked_text! {
    /// Who takes jobs: 1 to 128 bytes of UTF-8 without control characters.
    WorkerName, check_member
}
checked_text! {
    /// The proof that an attempt of a job is one's own: what a dequeue gave.
    LeaseToken, check_member
}
checked_text! {
    /// Who stands in a ranking: 1 to 128 bytes of UTF-8 without control characters.
    Member, check_member
}
checked_text! {
    /// Why an administrator does something: 1 to 500 characters without control characters.
    Reason, check_reason
}
checked_text! {
    /// What a token is for: 1 to 128 bytes of UTF-8 without control characters.
    TokenName, check_member
}
checked_text! {
    /// The id of a token, which is no secret: eleven of 0-9 A-Z a-z.
    TokenId, check_token_id
}
checked_text! {
    /// A client's key for one effect: 1 to 128 visible ASCII characters.
    IdempotencyKey, check_key
}

impl IdempotencyKey {
    /// The key as one of a member's own. It is none that a client could give, since it has a space.
    pub fn of_member(&self, member: &Member) -> Self {
        Self(format!("{member} {self}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_pattern() {
        for good in ["a", "A9", "weekly.eu-west_1", &"x".repeat(64)] {
            assert!(LeaderboardName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(LeaderboardName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn members_are_any_text_without_control_characters() {
        for good in ["a", "ann, bob", "名前", "a/b:c{d}", &"x".repeat(128)] {
            assert!(Member::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "a\u{0}", "a\u{7f}", "a\u{85}", &"x".repeat(129), &"ä".repeat(65)] {
            assert!(Member::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
