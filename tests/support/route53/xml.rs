//! XML as the API speaks it: elements and text, no attributes that mean anything.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// What every document of the API says it is written in.
pub(super) const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// An element with what is in it.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    /// All text directly in it, with references resolved.
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// The root of a document; none if it is none.
    pub(super) fn parse(document: &str) -> Option<Self> {
        let mut open: Vec<Self> = vec![Self::default()];
        for token in Tokenizer::from(document) {
            match token.ok()? {
                Token::ElementStart { local, .. } => {
                    open.push(Self { name: local.as_str().to_owned(), ..Self::default() });
                }
                Token::ElementEnd { end: ElementEnd::Empty, .. } => close(&mut open)?,
                Token::ElementEnd { end: ElementEnd::Close(_, local), .. } => {
                    if open.last()?.name != local.as_str() {
                        return None;
                    }
                    close(&mut open)?;
                }
                Token::Text { text } => open.last_mut()?.text.push_str(&unescape(text.as_str())?),
                Token::Cdata { text, .. } => open.last_mut()?.text.push_str(text.as_str()),
                _ => {}
            }
        }
        let mut document = open.pop().filter(|_| open.is_empty())?;
        document.children.pop().filter(|_| document.children.is_empty())
    }

    /// The child of that name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the child of that name.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }
}

fn close(open: &mut Vec<Element>) -> Option<()> {
    let closed = open.pop()?;
    open.last_mut()?.children.push(closed);
    Some(())
}

/// Text without references, as in `&quot;` and `&#xA;`.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, reference)) = rest.split_once('&') {
        let (reference, after) = reference.split_once(';')?;
        plain.push_str(before);
        plain.push(match reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let number = number.strip_prefix('#')?;
                let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
                char::from_u32(u32::from_str_radix(digits, radix).ok()?)?
            }
        });
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}

/// A document that is being written.
pub(super) struct Writer {
    document: String,
    open: Vec<&'static str>,
}

impl Writer {
    /// A document with this root.
    pub(super) fn new(root: &'static str, namespace: &str) -> Self {
        let document = format!("<?xml version=\"1.0\"?>\n<{root} xmlns=\"{namespace}\">");
        Self { document, open: vec![root] }
    }

    /// An element with text in it.
    pub(super) fn leaf(&mut self, name: &str, text: &str) {
        self.document.push('<');
        self.document.push_str(name);
        self.document.push('>');
        for character in text.chars() {
            match character {
                '&' => self.document.push_str("&amp;"),
                '<' => self.document.push_str("&lt;"),
                '>' => self.document.push_str("&gt;"),
                '"' => self.document.push_str("&quot;"),
                other => self.document.push(other),
            }
        }
        self.document.push_str("</");
        self.document.push_str(name);
        self.document.push('>');
    }

    /// The same where there is a text.
    pub(super) fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.leaf(name, text);
        }
    }

    /// An element with elements in it.
    pub(super) fn element(&mut self, name: &'static str, content: impl FnOnce(&mut Self)) {
        self.document.push('<');
        self.document.push_str(name);
        self.document.push('>');
        self.open.push(name);
        content(self);
        self.close();
    }

    /// The document.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.document
    }

    fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.document.push_str("</");
            self.document.push_str(name);
            self.document.push('>');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_with_its_references() {
        let root =
            Element::parse("<?xml version='1.0'?>\n<a xmlns='x'><b>1 &lt; 2 &amp;&#x41;</b><c/></a>").expect("a root");
        assert_eq!((root.name.as_str(), root.text_of("b"), root.text_of("c")), ("a", Some("1 < 2 &A"), Some("")));
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::new("a", NAMESPACE);
        writer.element("b", |writer| writer.leaf("c", "\"x\" <&>"));
        let root = Element::parse(&writer.finish()).expect("a root");
        assert_eq!(root.child("b").and_then(|b| b.text_of("c")), Some("\"x\" <&>"));
    }

    #[test]
    fn broken_documents_are_none() {
        for broken in ["", "<a>", "<a></b>", "<a/><b/>", "<a>&nothing;</a>", "text"] {
            assert!(Element::parse(broken).is_none(), "{broken}");
        }
    }
}
