//! Requests and responses, and how they look on an engine's wire.

use touchstone_wire::{Malformed, Reader, Why, Writer};

const MAGIC: &[u8; 2] = b"TX";
const VERSION: u8 = 1;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const MOST_HEADERS: u16 = 32;
const MOST_LINE: usize = 8 * 1024;

/// What is wanted of a resource (RFC 9110 §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// What it is.
    Get,
    /// That it takes this.
    Post,
}

impl Method {
    /// Its name in HTTP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    /// The method of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Get, Self::Post].into_iter().find(|method| method.name() == name)
    }
}

/// What stands in front of a body. Names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The same with one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// The same without those of a name, which is in lower case.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self
    }

    /// The value of a header that is there once; a second one of the name makes both worthless.
    pub fn one(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        let first = found.next()?;
        if found.next().is_some() { None } else { Some(&first.1) }
    }

    /// Every value of a header.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every header.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn encode(&self, out: &mut Writer) {
        out.u16(short(self.0.len()));
        for (name, value) in &self.0 {
            sized(out, name);
            sized(out, value);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.u16()?;
        if count > MOST_HEADERS {
            return Err(reader.malformed(Why::BadValue));
        }
        let mut headers = Vec::new();
        for _ in 0..count {
            headers.push((text(reader)?.to_ascii_lowercase(), text(reader)?));
        }
        Ok(Self(headers))
    }
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it wants.
    pub method: Method,
    /// Of what: an absolute path, with its query.
    pub path: String,
    /// In front of the body.
    pub headers: Headers,
    /// What it sends.
    pub body: Vec<u8>,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// In the numbers of HTTP (RFC 9110 §15).
    pub status: u16,
    /// In front of the body.
    pub headers: Headers,
    /// What it sends.
    pub body: Vec<u8>,
}

impl Response {
    /// A response without a body.
    pub const fn status(status: u16) -> Self {
        Self { status, headers: Headers::new(), body: Vec::new() }
    }

    /// A response with a body of this media type.
    pub fn with_body(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = Headers::new().with("content-type", media_type);
        Self { status, headers, body: body.into() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers = self.headers.with(name, value);
        self
    }
}

/// A request or a response on its way between two engines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which conversation it belongs to.
    pub conversation: [u8; 16],
    /// Which of its requests this is, or is the answer to; they count from 1.
    pub number: u32,
    /// What it says.
    pub what: What,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A client asks.
    Request(Request),
    /// A server answers.
    Response(Response),
}

impl Message {
    /// A request in a conversation of its own, as a transport has it that joins answers to requests
    /// by itself.
    pub fn only(request: Request) -> Self {
        Self { conversation: [0; 16], number: 1, what: What::Request(request) }
    }

    /// Its octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(MAGIC).u8(VERSION);
        out.u8(match self.what {
            What::Request(_) => REQUEST,
            What::Response(_) => RESPONSE,
        });
        out.bytes(&self.conversation).u32(self.number);
        let body = match &self.what {
            What::Request(request) => {
                out.u8(u8::from(request.method == Method::Post));
                sized(&mut out, &request.path);
                request.headers.encode(&mut out);
                &request.body
            }
            What::Response(response) => {
                out.u16(response.status);
                response.headers.encode(&mut out);
                &response.body
            }
        };
        out.u32(u32::try_from(body.len()).unwrap_or(u32::MAX)).bytes(body);
        out.into_bytes()
    }

    /// Reads octets, as many as `most`.
    pub fn decode(octets: &[u8], most: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(octets);
        if octets.len() > most {
            return Err(reader.malformed(Why::BadValue));
        }
        if reader.array::<2>()? != *MAGIC || reader.u8()? != VERSION {
            return Err(reader.malformed(Why::BadValue));
        }
        let kind = reader.u8()?;
        let conversation = reader.array()?;
        let number = reader.u32()?;
        let what = match kind {
            REQUEST => {
                let method = match reader.u8()? {
                    0 => Method::Get,
                    1 => Method::Post,
                    _ => return Err(reader.malformed(Why::BadValue)),
                };
                let path = text(&mut reader)?;
                let headers = Headers::decode(&mut reader)?;
                What::Request(Request { method, path, headers, body: body(&mut reader)? })
            }
            RESPONSE => {
                let status = reader.u16()?;
                let headers = Headers::decode(&mut reader)?;
                What::Response(Response { status, headers, body: body(&mut reader)? })
            }
            _ => return Err(reader.malformed(Why::BadValue)),
        };
        reader.finish()?;
        Ok(Self { conversation, number, what })
    }

    /// The response that these octets hold, to a request that was sent as [`only`](Self::only).
    pub fn response(octets: &[u8]) -> Option<Response> {
        match Self::decode(octets, usize::MAX).ok()?.what {
            What::Response(response) => Some(response),
            What::Request(_) => None,
        }
    }
}

fn short(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// Lines are short: what is longer is cut, and so refused by whoever reads it.
fn sized(out: &mut Writer, line: &str) {
    let octets = line.as_bytes().get(..line.len().min(MOST_LINE)).unwrap_or_default();
    out.u16(short(octets.len())).bytes(octets);
}

fn text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let octets = reader.sized_u16()?;
    let text = core::str::from_utf8(octets).ok().filter(|text| {
        // RFC 9110 §5.5: no line ends in a line.
        text.len() <= MOST_LINE && !text.contains(['\r', '\n', '\0'])
    });
    text.map(str::to_owned).ok_or_else(|| reader.malformed(Why::BadValue))
}

fn body(reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    let len = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    Ok(reader.take(len)?.to_vec())
}
