//! HTML as Markdown with its markup: headings, lists, tables, links, code, emphasis. For texts that are shown elsewhere
//! and never come back.
//!
//! No converter that there is would do: what people can write into an article may be as hostile as anything else. So
//! nothing is shown that runs or is fetched by itself, nothing that a reader does not see (titles, languages), elements
//! may lie as deep in each other as they like, and what comes out is never much longer than what came in.

use html5ever::tendril::TendrilSink as _;
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use pulldown_cmark::{Event, Parser};

/// Elements that lie deeper in each other are shown as their words.
const DEEPEST: usize = 48;
/// Columns of a table.
const COLUMNS: usize = 64;

/// What is not shown to whoever reads a page.
const UNSEEN: [&str; 18] = [
    "script", "style", "head", "noscript", "template", "iframe", "object", "embed", "svg", "math",
    "canvas", "audio", "video", "select", "textarea", "button", "datalist", "title",
];

/// HTML as Markdown. `keeps` says whether an address may be shown.
pub(super) fn of_html(html: &str, keeps: &dyn Fn(&str) -> bool) -> String {
    let dom =
        html5ever::parse_document(RcDom::default(), html5ever::ParseOpts::default()).one(html);
    // Within a word emphasis may be none to a reader, who is shown its marks then: better without.
    let without = Walk { keeps, emphasis: false }.document(&dom.document);
    let with = Walk { keeps, emphasis: true }.document(&dom.document);
    if stars(&with) == stars(&without) { with } else { without }
}

/// How many stars a reader sees.
fn stars(markdown: &str) -> usize {
    let texts = Parser::new(markdown).filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(text.matches('*').count()),
        _ => None,
    });
    texts.sum()
}

struct Walk<'a> {
    keeps: &'a dyn Fn(&str) -> bool,
    emphasis: bool,
}

impl Walk<'_> {
    fn document(&self, document: &Handle) -> String {
        self.blocks(document, 0).join("\n\n")
    }

    /// What lies in an element, block by block.
    fn blocks(&self, node: &Handle, depth: usize) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut run = String::new();
        for child in node.children.borrow().iter() {
            let name = name(child);
            if !is_block(&name) {
                self.inline(child, &mut run, depth + 1);
                continue;
            }
            flush(&mut run, &mut blocks);
            if depth >= DEEPEST {
                let mut words = String::new();
                push(&mut words, &escaped(&text(child)));
                flush(&mut words, &mut blocks);
                continue;
            }
            match name.as_str() {
                "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                    let mut title = String::new();
                    self.inlines(child, &mut title, depth + 1);
                    let title = title.replace("\\\n", " ");
                    let level = name[1..].parse().unwrap_or(1);
                    if !title.trim().is_empty() {
                        blocks.push(format!("{} {}", "#".repeat(level), title.trim()));
                    }
                }
                "ul" | "ol" => {
                    let first = attribute(child, "start").and_then(|start| start.parse().ok());
                    let numbers = (name == "ol").then(|| first.unwrap_or(1));
                    blocks.extend(self.list(child, numbers, depth + 1));
                }
                "pre" => blocks.extend(fenced(&text(child))),
                "blockquote" => {
                    let quoted = self.blocks(child, depth + 1).join("\n\n");
                    if !quoted.is_empty() {
                        blocks.push(prefixed(&quoted, "> ", "> "));
                    }
                }
                "hr" => blocks.push("***".to_owned()),
                "table" => blocks.extend(self.table(child, depth + 1)),
                _ => blocks.extend(self.blocks(child, depth + 1)),
            }
        }
        flush(&mut run, &mut blocks);
        blocks
    }

    fn list(&self, list: &Handle, numbers: Option<u32>, depth: usize) -> Option<String> {
        let mut items = Vec::new();
        let mut number = numbers;
        for child in list.children.borrow().iter() {
            let blocks = match name(child).as_str() {
                "li" | "dt" | "dd" => self.blocks(child, depth),
                // A list may stand in a list without an item of its own, as editors write it.
                "ul" | "ol" => {
                    let inner = (name(child) == "ol").then_some(1);
                    self.list(child, inner, depth + 1)
                        .filter(|_| depth < DEEPEST)
                        .into_iter()
                        .collect()
                }
                // What stands between items is no item, and no less to be read.
                _ => {
                    let mut run = String::new();
                    let mut blocks = Vec::new();
                    self.inline(child, &mut run, depth);
                    flush(&mut run, &mut blocks);
                    blocks
                }
            };
            if blocks.is_empty() {
                continue;
            }
            let marker = number.map_or("- ".to_owned(), |number| format!("{number}. "));
            number = number.map(|number| number.saturating_add(1));
            let gap = if blocks.len() > 2 { "\n\n" } else { "\n" };
            items.push(prefixed(&blocks.join(gap), &marker, &" ".repeat(marker.len())));
        }
        (!items.is_empty()).then(|| items.join("\n"))
    }

    /// A table: its first row is its head, where that consists of heads; else the head is empty.
    fn table(&self, table: &Handle, depth: usize) -> Option<String> {
        let mut rows: Vec<(bool, Vec<String>)> = Vec::new();
        let mut sections = vec![table.clone()];
        let mut caption = String::new();
        while let Some(section) = sections.pop() {
            for child in section.children.borrow().iter() {
                match name(child).as_str() {
                    "thead" | "tbody" | "tfoot" => rows.extend(self.rows(child, depth)),
                    "caption" => self.inlines(child, &mut caption, depth + 1),
                    _ => {}
                }
            }
        }
        let caption = caption.replace("\\\n", " ");
        let caption = Some(caption.trim().to_owned()).filter(|caption| !caption.is_empty());
        let Some(columns) = rows.iter().map(|(_, cells)| cells.len()).max() else {
            return caption;
        };
        let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
        let mut lines = Vec::new();
        let mut rows = rows.into_iter().peekable();
        let head = match rows.next_if(|(is_head, _)| *is_head) {
            Some((_, mut cells)) => {
                cells.resize(columns, String::new());
                cells
            }
            None => vec![String::new(); columns],
        };
        lines.push(line(&head));
        lines.push(line(&vec!["---".to_owned(); columns]));
        lines.extend(rows.map(|(_, cells)| line(&cells)));
        let table = lines.join("\n");
        Some(match caption {
            Some(caption) => format!("{caption}\n\n{table}"),
            None => table,
        })
    }

    fn rows(&self, section: &Handle, depth: usize) -> Vec<(bool, Vec<String>)> {
        let mut rows = Vec::new();
        for row in section.children.borrow().iter().filter(|child| name(child) == "tr") {
            let (mut heads, mut cells) = (true, Vec::new());
            let row = row.children.borrow();
            let all = row.iter().filter(|child| matches!(name(child).as_str(), "td" | "th"));
            for cell in all.take(COLUMNS) {
                heads &= name(cell) == "th";
                let mut shown = String::new();
                self.inlines(cell, &mut shown, depth + 1);
                cells.push(shown.trim().replace("\\\n", " ").replace('\n', " "));
            }
            if !cells.is_empty() {
                rows.push((heads, cells));
            }
        }
        rows
    }

    /// What lies in an element, as part of a line.
    fn inlines(&self, node: &Handle, line: &mut String, depth: usize) {
        for child in node.children.borrow().iter() {
            self.inline(child, line, depth);
        }
    }

    fn inline(&self, node: &Handle, line: &mut String, depth: usize) {
        let element = match &node.data {
            NodeData::Text { contents } => return push(line, &escaped(&contents.borrow())),
            NodeData::Element { .. } => name(node),
            _ => return,
        };
        if UNSEEN.contains(&element.as_str()) {
            return;
        }
        if depth >= DEEPEST {
            return push(line, &escaped(&text(node)));
        }
        match element.as_str() {
            "br" => line.push_str("\\\n"),
            "b" | "strong" if self.emphasis => self.marked(node, line, "**", depth),
            "i" | "em" if self.emphasis => self.marked(node, line, "*", depth),
            "code" | "kbd" | "samp" | "tt" => code(&text(node), line),
            "a" => {
                let address = attribute(node, "href").filter(|href| self.may_show(href));
                match address {
                    Some(address) => {
                        self.marked_by(node, line, "[", &format!("]({address})"), depth)
                    }
                    None => self.inlines(node, line, depth + 1),
                }
            }
            "img" => {
                let alt = escaped(&attribute(node, "alt").unwrap_or_default());
                let source = attribute(node, "src").filter(|src| self.may_show(src));
                // A picture from elsewhere would be fetched by whoever looks: it is a link.
                match source {
                    Some(source) if is_elsewhere(&source) => {
                        let alt = if alt.trim().is_empty() { "picture" } else { alt.trim() };
                        push(line, &format!("[{alt}]({source})"));
                    }
                    Some(source) => push(line, &format!("![{}]({source})", alt.trim())),
                    None => push(line, &alt),
                }
            }
            // A block within a line, as in a link around a heading: its words, apart from the others.
            block if is_block(block) => {
                push(line, " ");
                self.inlines(node, line, depth + 1);
                push(line, " ");
            }
            _ => self.inlines(node, line, depth + 1),
        }
    }

    fn marked(&self, node: &Handle, line: &mut String, mark: &str, depth: usize) {
        self.marked_by(node, line, mark, mark, depth);
    }

    /// Marks stand at the words, and blanks outside.
    fn marked_by(&self, node: &Handle, line: &mut String, open: &str, close: &str, depth: usize) {
        let mut inner = String::new();
        self.inlines(node, &mut inner, depth + 1);
        let words = inner.trim();
        if words.is_empty() || words.contains("\\\n") && open != "[" {
            return push(line, &inner);
        }
        if inner.starts_with(char::is_whitespace) {
            push(line, " ");
        }
        line.push_str(open);
        line.push_str(words);
        line.push_str(close);
        if inner.ends_with(char::is_whitespace) {
            line.push(' ');
        }
    }

    fn may_show(&self, address: &str) -> bool {
        is_address(address) && (self.keeps)(address) && (self.keeps)(&decoded(address))
    }
}

/// Ends a paragraph.
fn flush(run: &mut String, blocks: &mut Vec<String>) {
    let lines: Vec<String> =
        run.trim().trim_end_matches("\\\n").split("\\\n").map(guarded).collect();
    let paragraph = lines.join("\\\n");
    if !paragraph.trim().is_empty() {
        blocks.push(paragraph);
    }
    run.clear();
}

/// A line that begins as nothing but a line does.
fn guarded(line: &str) -> String {
    let line = line.trim();
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    match line.as_bytes().get(digits) {
        Some(b'#' | b'+' | b'-' | b'=' | b':') if digits == 0 => format!("\\{line}"),
        Some(b'.' | b')') if (1..10).contains(&digits) => {
            format!("{}\\{}", &line[..digits], &line[digits..])
        }
        _ => line.to_owned(),
    }
}

/// Adds to a line; blanks count once.
fn push(line: &mut String, more: &str) {
    let more =
        if line.is_empty() || line.ends_with([' ', '\n']) { more.trim_start() } else { more };
    line.push_str(more);
}

/// A text as Markdown shows it, its blanks as one.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_whitespace() {
            if !shown.ends_with(' ') {
                shown.push(' ');
            }
            continue;
        }
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '|' | '~' | '!' | '$')
        {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

/// Code within a line.
fn code(text: &str, line: &mut String) {
    let text: Vec<&str> = text.split_whitespace().collect();
    let text = text.join(" ");
    if text.is_empty() {
        return;
    }
    let fence = fence('`', &text, 1);
    let blank = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    // Within a table a bar ends a cell, be it in code or not.
    push(line, &format!("{fence}{blank}{}{blank}{fence}", text.replace('|', "\u{a6}")));
}

/// Code as a block of its own.
fn fenced(text: &str) -> Option<String> {
    let text = text.trim_matches('\n').trim_end();
    let fence = fence('`', text, 3);
    (!text.trim().is_empty()).then(|| format!("{fence}\n{text}\n{fence}"))
}

/// A fence that is longer than any in a text.
fn fence(of: char, text: &str, least: usize) -> String {
    let longest = text.split(|c| c != of).map(str::len).max().unwrap_or(0);
    of.to_string().repeat(least.max(longest + 1))
}

/// Lines with something before them.
fn prefixed(text: &str, first: &str, others: &str) -> String {
    let mut lines = text.lines();
    let mut shown = format!("{first}{}", lines.next().unwrap_or_default());
    for line in lines {
        shown.push('\n');
        if !line.is_empty() || others.trim_end() == others.trim() && !others.trim().is_empty() {
            shown.push_str(others);
        }
        shown.push_str(line);
    }
    shown
}

fn name(node: &Handle) -> String {
    match &node.data {
        NodeData::Element { name, .. } => name.local.to_string(),
        _ => String::new(),
    }
}

/// The value of an attribute, without what would end it in Markdown.
fn attribute(node: &Handle, wanted: &str) -> Option<String> {
    let NodeData::Element { attrs, .. } = &node.data else { return None };
    let attrs = attrs.borrow();
    attrs.iter().find(|attr| &*attr.name.local == wanted).map(|attr| attr.value.to_string())
}

/// Every text in an element that is seen, however deep it lies.
fn text(node: &Handle) -> String {
    let mut all = String::new();
    let mut waiting = vec![node.clone()];
    while let Some(node) = waiting.pop() {
        match &node.data {
            NodeData::Text { contents } => all.push_str(&contents.borrow()),
            NodeData::Element { .. } if name(&node) == "br" => all.push('\n'),
            NodeData::Element { .. } if UNSEEN.contains(&name(&node).as_str()) => {}
            _ => waiting.extend(node.children.borrow().iter().rev().cloned()),
        }
    }
    all
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "html"
            | "body"
            | "p"
            | "div"
            | "section"
            | "article"
            | "main"
            | "aside"
            | "header"
            | "footer"
            | "nav"
            | "figure"
            | "figcaption"
            | "address"
            | "details"
            | "summary"
            | "fieldset"
            | "form"
            | "center"
            | "dl"
            | "dt"
            | "dd"
            | "li"
            | "ul"
            | "ol"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "pre"
            | "blockquote"
            | "hr"
            | "table"
            | "tr"
            | "td"
            | "th"
    )
}

/// Whether an address may stand in a text: a page, or a place on the same site. What else Markdown or a browser would
/// make of it has no room in it.
fn is_address(text: &str) -> bool {
    let odd =
        |c: char| c.is_control() || c.is_whitespace() || "<>()[]\\\"'`*_|".contains(c) && c != '_';
    if text.is_empty() || text.len() > 2_000 || text.chars().any(odd) {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    let before = lower.split(['/', '?', '#']).next().unwrap_or_default();
    is_elsewhere(text) || !before.contains(':') && !lower.starts_with("//")
}

fn is_elsewhere(address: &str) -> bool {
    let lower = address.to_ascii_lowercase();
    lower.starts_with("http://") || lower.starts_with("https://")
}

/// An address as a person reads it: what is escaped in it hides nothing.
fn decoded(address: &str) -> String {
    let bytes = address.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escape = address.get(at + 1..at + 3).filter(|_| *byte == b'%');
        match escape.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pulldown_cmark::Tag;

    fn shown(html: &str) -> String {
        of_html(html, &|_| true)
    }

    /// Whether a Markdown has no HTML in it, and leads to nothing but addresses.
    fn is_harmless(markdown: &str) -> bool {
        Parser::new(markdown).all(|event| match event {
            Event::Html(_) | Event::InlineHtml(_) => false,
            Event::Start(Tag::Link { dest_url, .. }) => is_address(&dest_url),
            Event::Start(Tag::Image { dest_url, .. }) => {
                is_address(&dest_url) && !is_elsewhere(&dest_url)
            }
            _ => true,
        })
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
            ("<ul><li>one</li><ul><li>deeper</li></ul></ul>", "- one\n- - deeper"),
            ("<ol><li>first</li><li>then</li></ol>", "1. first\n2. then"),
            ("<ol start=4><li><p>a</p><p>b</p><p>c</p></ol>", "4. a\n\n   b\n\n   c"),
            (
                "see <a href=\"https://x.example/a\">the page</a>",
                "see [the page](https://x.example/a)",
            ),
            (
                "<img src=\"sys_attachment.do?sys_id=0a1b\" alt=\"the dialog\">",
                "![the dialog](sys_attachment.do?sys_id=0a1b)",
            ),
            ("<pre><code>let x = 1;\n  y</code></pre>", "```\nlet x = 1;\n  y\n```"),
            ("Press <kbd>Ctrl</kbd> or <code>a`b</code>", "Press `Ctrl` or ``a`b``"),
            ("<p>one<br>two</p>", "one\\\ntwo"),
            ("<blockquote><p>a</p><p>b</p></blockquote>c", "> a\n> \n> b\n\nc"),
            (
                "<table><tr><th>Code</th><th>Means</th></tr><tr><td>17</td><td>a|b</td></tr></table>",
                "| Code | Means |\n| --- | --- |\n| 17 | a\\|b |",
            ),
            ("<table><tr><td>17<td>busy</table>", "|  |  |\n| --- | --- |\n| 17 | busy |"),
            ("2 * 3 * 4 &lt;b&gt; _x_", "2 \\* 3 \\* 4 \\<b\\> \\_x\\_"),
            ("a<b>:</b>b <b>c</b>", "a:b c"),
            (
                "<p>5 * 3 is <b>15</b></p><ul><li><em>so</em></li></ul>",
                "5 \\* 3 is **15**\n\n- *so*",
            ),
            (
                "<p>1. not a list</p><p># no title</p><p>- no item</p>",
                "1\\. not a list\n\n\\# no title\n\n\\- no item",
            ),
            ("<p>a <b> b </b> c</p>", "a **b** c"),
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
            ("<a href=\"mailto:ann%40example.com\">click</a>", "click"),
            ("<a href=\"//elsewhere.example\">click</a>", "click"),
            ("<a href=\"https://x.example/) [b](javascript:c\">click</a>", "click"),
            ("<img src=\"data:image/png;base64,AAAA\" alt=\"a logo\">", "a logo"),
            ("<img src=\"https://x.example/pixel.png\">", "[picture](https://x.example/pixel.png)"),
            (
                "<a href=\"https://x.example\" title=\"a secret\">click</a>",
                "[click](https://x.example)",
            ),
            ("<pre><code class=\"language-secret\">x</code></pre>", "```\nx\n```"),
            ("<iframe src=\"https://x.example\"></iframe>b", "b"),
            ("<p onclick=\"x()\">c</p>", "c"),
        ] {
            assert_eq!(shown(html), markdown, "{html}");
        }
        let hidden = of_html("<a href=\"https://x.example/?m=a%40b.example\">c</a>", &|address| {
            !address.contains("a@b")
        });
        assert_eq!(hidden, "c");
    }

    #[test]
    fn no_page_is_too_deep_or_grows() {
        for (piece, end) in [
            ("<div>", ""),
            ("<div></x>", ""),
            ("<b>", ""),
            ("<optgroup>", ""),
            ("<math><tr>", ""),
            ("<ul><li>", ""),
            ("<blockquote>", ""),
            ("<p-x>", ""),
            ("<table><tr><td>", ""),
            ("<table><thead></thead><caption>", ""),
            ("<a href='x'><b>", ""),
            ("<i>a", ""),
        ] {
            let html = piece.repeat(2_000) + "end" + end;
            let markdown = shown(&html);
            assert!(markdown.contains("end") || piece.contains("math"), "{piece}");
            assert!(markdown.len() < 60 * html.len(), "{piece}: {}", markdown.len());
        }
        let wide =
            format!("<table><tr><td>{}{}</table>", "x".repeat(50_000), "<tr><td>".repeat(5_000));
        assert!(shown(&wide).len() < 200_000);
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
                    Just("<br>".to_owned()), Just("&amp;lt;b&amp;gt;".to_owned()),
                ],
                0..20,
            )
        ) {
            let markdown = shown(&html.concat());
            prop_assert!(is_harmless(&markdown), "{markdown}");
        }
    }
}
