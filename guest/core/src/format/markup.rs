//! HTML as Markdown with its markup: headings, lists, tables, links, code. For texts that are shown elsewhere and
//! never come back.

use htmd::element_handler::{HandlerResult, Handlers};
use htmd::options::{BrStyle, BulletListMarker, Options};
use htmd::{Element, HtmlToMarkdown};
use pulldown_cmark::{Event, Parser, Tag};

/// So deep elements may lie in each other: the converter walks them by recursion.
const DEEPEST: usize = 128;

/// What is not shown to whoever reads a page.
const UNSEEN: [&str; 11] = [
    "script", "style", "head", "noscript", "template", "iframe", "object", "embed", "svg",
    "canvas", "form",
];

/// Elements that hold nothing, or end by themselves where the next one begins.
const SHALLOW: [&str; 27] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track",
    "wbr", "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "option",
    "optgroup", "colgroup", "param",
];

/// HTML as Markdown. None if it cannot be had without something that a reader's screen might run or fetch by itself:
/// the text alone is then all there is.
pub(super) fn of_html(html: &str) -> Option<String> {
    if depth(html) > DEEPEST {
        return None;
    }
    // Within a word emphasis may be none to a reader, who is shown its marks then: better without.
    let shown = |markdown: &str| {
        let texts = Parser::new(markdown).filter_map(|event| match event {
            Event::Text(text) | Event::Code(text) => Some(text.matches('*').count()),
            _ => None,
        });
        texts.sum::<usize>()
    };
    let without = convert(html, false)?;
    let stars = shown(&without);
    let markdown = convert(html, true).filter(|with| shown(with) == stars).unwrap_or(without);
    is_harmless(&markdown).then_some(markdown)
}

fn convert(html: &str, emphasis: bool) -> Option<String> {
    let options = Options {
        br_style: BrStyle::Backslash,
        bullet_list_marker: BulletListMarker::Dash,
        ul_bullet_spacing: 1,
        ol_number_spacing: 1,
        ..Options::default()
    };
    let link = |handlers: &dyn Handlers, element: Element<'_>| -> Option<HandlerResult> {
        let href = element.attrs.iter().find(|attr| &*attr.name.local == "href");
        let leads_on = href.is_some_and(|href| is_address(&href.value));
        if leads_on {
            handlers.fallback(element)
        } else {
            // Its words stay; where they would have led is nobody's business.
            Some(handlers.walk_children(element.node))
        }
    };
    let image = |handlers: &dyn Handlers, element: Element<'_>| -> Option<HandlerResult> {
        let value = |name: &str| {
            let attr = element.attrs.iter().find(|attr| &*attr.name.local == name)?;
            Some(attr.value.to_string())
        };
        if value("src").is_some_and(|src| is_address(&src)) {
            return handlers.fallback(element);
        }
        value("alt").map(HandlerResult::from)
    };
    let words = |handlers: &dyn Handlers, element: Element<'_>| -> Option<HandlerResult> {
        Some(handlers.walk_children(element.node))
    };
    let mut builder = HtmlToMarkdown::builder()
        .options(options)
        .skip_tags(UNSEEN.to_vec())
        .add_handler(vec!["a"], link)
        .add_handler(vec!["img"], image);
    if !emphasis {
        builder = builder.add_handler(vec!["b", "strong", "i", "em"], words);
    }
    let markdown = builder.build().convert(html).ok()?;
    Some(markdown.replace("\r\n", "\n").trim().to_owned())
}

/// An upper bound of how deep elements lie in each other.
fn depth(html: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for after in html.split('<').skip(1) {
        let (end, rest) = match after.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (false, after),
        };
        let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        if name.is_empty() || SHALLOW.contains(&name.as_str()) {
            continue;
        }
        depth = if end { depth.saturating_sub(1) } else { depth + 1 };
        deepest = deepest.max(depth);
    }
    deepest
}

/// Whether an address may stand in a text: a page, a mail, a number, or a place on the same site.
fn is_address(text: &str) -> bool {
    // What a browser leaves out of an address must not hide what it is.
    let text: String = text.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
    let lower = text.to_ascii_lowercase();
    if ["http://", "https://", "mailto:", "tel:"].iter().any(|scheme| lower.starts_with(scheme)) {
        return true;
    }
    let before = lower.split(['/', '?', '#']).next().unwrap_or_default();
    !lower.is_empty() && !before.contains(':') && !lower.starts_with("//")
}

/// Whether a Markdown has no HTML in it, and leads to nothing but addresses.
fn is_harmless(markdown: &str) -> bool {
    Parser::new(markdown).all(|event| match event {
        Event::Html(_) | Event::InlineHtml(_) => false,
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
            is_address(&dest_url)
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(html: &str) -> String {
        of_html(html).unwrap_or_else(|| panic!("{html} has no Markdown"))
    }

    #[test]
    fn what_an_article_has_is_carried_over() {
        for (html, markdown) in [
            (
                "<h2>When the VPN drops</h2><p>Open <b>Settings</b>.</p>",
                "## When the VPN drops\n\nOpen **Settings**.",
            ),
            (
                "<ul><li>one<ul><li>deeper</li></ul></li><li>two</li></ul>",
                "- one\n  - deeper\n- two",
            ),
            ("<ol><li>first</li><li>then</li></ol>", "1. first\n2. then"),
            (
                "see <a href=\"https://x.example/a\">the page</a>",
                "see [the page](https://x.example/a)",
            ),
            (
                "<img src=\"sys_attachment.do?sys_id=0a1b\" alt=\"the dialog\">",
                "![the dialog](sys_attachment.do?sys_id=0a1b)",
            ),
            ("<pre><code>let x = 1;\n</code></pre>", "```\nlet x = 1;\n```"),
            ("<p>one<br>two</p>", "one\\\ntwo"),
            (
                "<table><tr><th>Code</th><th>Means</th></tr><tr><td>17</td><td>busy</td></tr></table>",
                "| Code | Means |\n| ---- | ----- |\n| 17   | busy  |",
            ),
            ("2 * 3 * 4 &lt;b&gt; _x_", "2 \\* 3 \\* 4 \\<b> \\_x\\_"),
            ("a<b>:</b>b <b>c</b>", "a:b c"),
            (
                "<p>5 * 3 is <b>15</b></p><ul><li><em>so</em></li></ul>",
                "5 \\* 3 is **15**\n\n- *so*",
            ),
            ("", ""),
        ] {
            assert_eq!(shown(html), markdown, "{html}");
        }
    }

    #[test]
    fn nothing_that_runs_or_hides_is_carried_over() {
        for (html, markdown) in [
            ("<script>alert(1)</script>a<style>p{}</style>", "a"),
            ("<a href=\"javascript:alert(1)\">click</a>", "click"),
            ("<a href=\" java\nscript:alert(1)\">click</a>", "click"),
            ("<a href=\"//elsewhere.example\">click</a>", "click"),
            ("<img src=\"data:image/png;base64,AAAA\" alt=\"a logo\">", "a logo"),
            ("<iframe src=\"https://x.example\"></iframe>b", "b"),
            ("<p onclick=\"x()\">c</p>", "c"),
        ] {
            assert_eq!(shown(html), markdown, "{html}");
        }
        // Deeper than any page: the text alone.
        assert_eq!(of_html(&"<div>".repeat(100_000)), None);
    }

    proptest! {
        #[test]
        fn whatever_the_html_its_markdown_has_none(
            html in proptest::collection::vec(
                prop_oneof![
                    "[a-z &<>\"'\\[\\]()!*_`#:/.\\\\-]{0,12}",
                    Just("<a href=\"javascript:x\">".to_owned()), Just("</a>".to_owned()),
                    Just("<a href='https://x.example/?a=1&b=2'>".to_owned()),
                    Just("<b>".to_owned()), Just("</b>".to_owned()), Just("<li>".to_owned()),
                    Just("<table><tr><td>".to_owned()), Just("<pre><code>".to_owned()),
                    Just("</code></pre>".to_owned()), Just("&lt;script&gt;".to_owned()),
                    Just("<img src=x onerror=y>".to_owned()), Just("<h1>".to_owned()),
                ],
                0..20,
            )
        ) {
            if let Some(markdown) = of_html(&html.concat()) {
                prop_assert!(is_harmless(&markdown), "{markdown}");
            }
        }
    }
}
