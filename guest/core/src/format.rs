//! How a text is written: plain, HTML or Markdown. Everything between the sides is plain text;
//! what a side writes in another way is read into it, and written from it again. Only what is shown elsewhere and never
//! comes back keeps its markup (`markup`).

mod markup;

use std::borrow::Cow;

use firn_model::TextFormat;
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

/// Reads a side's text as plain text: line ends unified, outer blanks gone.
#[must_use]
pub fn read(format: TextFormat, text: &str) -> String {
    shown(format, Cow::Borrowed(text)).into_owned()
}

/// [`read`], copied only where something is changed.
#[must_use]
pub fn shown(format: TextFormat, text: Cow<'_, str>) -> Cow<'_, str> {
    let plain = match format {
        TextFormat::Plain => text,
        TextFormat::Html => Cow::Owned(from_html(&text)),
        TextFormat::Markdown => Cow::Owned(from_markdown(&text)),
    };
    let plain = match memchr::memchr(b'\r', plain.as_bytes()) {
        Some(_) if plain.contains("\r\n") => Cow::Owned(plain.replace("\r\n", "\n")),
        _ => plain,
    };
    match plain {
        Cow::Borrowed(plain) => Cow::Borrowed(plain.trim()),
        Cow::Owned(plain) => match plain.trim() {
            trimmed if trimmed.len() == plain.len() => Cow::Owned(plain),
            trimmed => Cow::Owned(trimmed.to_owned()),
        },
    }
}

/// Writes plain text the way a side does; [`read`] gives it back.
#[must_use]
pub fn write(format: TextFormat, plain: &str) -> String {
    match format {
        TextFormat::Plain => plain.to_owned(),
        TextFormat::Html => to_html(plain),
        TextFormat::Markdown => to_markdown(plain),
    }
}

/// HTML as Markdown with its markup, for a reader who never writes it back. `keeps` says whether an address may be
/// shown.
#[must_use]
pub fn markdown_of_html(html: &str, keeps: &dyn Fn(&str) -> bool) -> String {
    markup::of_html(html, keeps)
}

/// HTML to text. What cannot be read as HTML stays as it is: no text is lost.
fn from_html(html: &str) -> String {
    // A width beyond any line: lines break where the text breaks.
    let config = html2text::config::plain_no_decorate().allow_width_overflow().no_link_wrapping();
    config.string_from_read(html.as_bytes(), 1_000_000).unwrap_or_else(|_| html.to_owned())
}

fn to_html(plain: &str) -> String {
    let mut html = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\n' => html.push_str("<br>"),
            c => html.push(c),
        }
    }
    html
}

/// Markdown to text: marks are dropped, links keep their address, lists their bullets, code its
/// words.
fn from_markdown(markdown: &str) -> String {
    let mut text = String::with_capacity(markdown.len());
    let mut links = Vec::new();
    let mut lists: Vec<Option<u64>> = Vec::new();
    let line = |text: &mut String, blank: bool| {
        while text.ends_with(' ') {
            text.pop();
        }
        let wanted = if blank { "\n\n" } else { "\n" };
        while !text.is_empty() && !text.ends_with(wanted) {
            text.push('\n');
        }
    };
    for event in Parser::new(markdown) {
        match event {
            Event::Text(t) | Event::Code(t) => text.push_str(&t),
            // HTML in Markdown is text here: it must not become markup on the other side.
            Event::Html(t) | Event::InlineHtml(t) => text.push_str(&t),
            Event::SoftBreak | Event::HardBreak => text.push('\n'),
            Event::Rule => line(&mut text, true),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                links.push((text.len(), dest_url));
            }
            Event::End(TagEnd::Link | TagEnd::Image) => {
                if let Some((from, address)) = links.pop()
                    && !address.is_empty()
                    && text.get(from..).is_some_and(|said| said != &*address)
                {
                    text.push_str(" (");
                    text.push_str(&address);
                    text.push(')');
                }
            }
            Event::Start(Tag::List(first)) => {
                line(&mut text, lists.is_empty());
                lists.push(first);
            }
            Event::End(TagEnd::List(_)) => {
                lists.pop();
                line(&mut text, lists.is_empty());
            }
            Event::Start(Tag::Item) => {
                line(&mut text, false);
                text.push_str(&"  ".repeat(lists.len().saturating_sub(1)));
                match lists.last_mut() {
                    Some(Some(n)) => {
                        text.push_str(&format!("{n}. "));
                        *n += 1;
                    }
                    _ => text.push_str("- "),
                }
            }
            Event::End(TagEnd::Item) => line(&mut text, false),
            Event::Start(Tag::Paragraph | Tag::Heading { .. } | Tag::CodeBlock(_))
                if lists.is_empty() =>
            {
                line(&mut text, true);
            }
            Event::End(TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::CodeBlock) => {
                line(&mut text, lists.is_empty());
            }
            _ => {}
        }
    }
    text
}

/// Plain text that Markdown shows as it is.
fn to_markdown(plain: &str) -> String {
    let mut markdown = String::with_capacity(plain.len());
    for (i, line) in plain.split('\n').enumerate() {
        if i > 0 {
            // A single line end would be shown as a blank: end lines hard.
            markdown.push_str(if line.is_empty() || markdown.ends_with('\n') {
                "\n"
            } else {
                "\\\n"
            });
        }
        for c in line.chars() {
            if c.is_ascii_punctuation() {
                markdown.push('\\');
            }
            markdown.push(c);
        }
    }
    markdown
}

/// A text that ServiceNow's journal shows as text: `[code]` would be rendered as HTML there.
#[must_use]
pub fn journal_safe(plain: &str) -> String {
    let lower = plain.to_ascii_lowercase();
    let mut safe = String::with_capacity(plain.len());
    let mut at = 0;
    while let Some(found) = ["[code]", "[/code]"]
        .iter()
        .filter_map(|mark| lower[at..].find(mark).map(|i| (at + i, mark.len())))
        .min()
    {
        let (start, length) = found;
        safe.push_str(&plain[at..start]);
        safe.push('(');
        safe.push_str(&plain[start + 1..start + length - 1]);
        safe.push(')');
        at = start + length;
    }
    safe.push_str(&plain[at..]);
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn html_to_text() {
        for (html, text) in [
            ("<p>Hello <b>you</b></p>", "Hello you"),
            ("one<br>two", "one\ntwo"),
            ("a &lt;b&gt; &amp; c", "a <b> & c"),
            ("<script>alert(1)</script>x", "x"),
            ("plain", "plain"),
            ("", ""),
        ] {
            assert_eq!(read(TextFormat::Html, html), text, "{html}");
        }
    }

    #[test]
    fn markdown_to_text() {
        for (markdown, text) in [
            ("# Title\n\nHello **you** and `me`", "Title\n\nHello you and me"),
            ("- one\n- two", "- one\n- two"),
            ("1. one\n2. two", "1. one\n2. two"),
            ("see [the page](https://x.example/a)", "see the page (https://x.example/a)"),
            ("<https://x.example/a>", "https://x.example/a"),
            ("a <script>alert(1)</script> b", "a <script>alert(1)</script> b"),
            ("```\nlet x = 1;\n```", "let x = 1;"),
        ] {
            assert_eq!(read(TextFormat::Markdown, markdown), text, "{markdown}");
        }
    }

    #[test]
    fn a_journal_never_gets_markup() {
        assert_eq!(journal_safe("a [code]<b>x</b>[/CODE] b"), "a (code)<b>x</b>(/CODE) b");
        assert_eq!(journal_safe("[cod] [Code"), "[cod] [Code");
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(words in proptest::collection::vec("[a-z0-9<>&*_#`\\[\\]()!.+-]{1,8}( [a-z<&*]{1,5})?", 1..5)) {
            let plain = words.join("\n");
            for format in [TextFormat::Plain, TextFormat::Html, TextFormat::Markdown] {
                prop_assert_eq!(read(format, &write(format, &plain)), plain.clone(), "{:?}", format);
            }
        }

        /// Plain text is read without its margins, and its lines end in one way.
        #[test]
        fn plain_text_is_read_without_margins(text in "[ \r\n\tab\u{a0}]{0,12}") {
            let once = read(TextFormat::Plain, &text);
            let unified = text.replace("\r\n", "\n");
            prop_assert_eq!(once.as_str(), unified.trim());
        }

        #[test]
        fn no_text_whatever_stops_a_converter(text in ".{0,200}") {
            for format in [TextFormat::Html, TextFormat::Markdown] {
                let once = read(format, &text);
                prop_assert!(once.len() <= 20 * text.len() + 20);
            }
            prop_assert!(!journal_safe(&text).to_ascii_lowercase().contains("[code]"));
        }
    }
}
