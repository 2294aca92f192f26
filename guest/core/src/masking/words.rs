//! The words that are context: near which word a number is a phone number, near which it is an
//! order's. Found all at once by one automaton (Aho-Corasick), which also finds the beginnings of
//! secrets.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind, StartKind};

/// What a word speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Phone,
    Ssn,
    Itin,
    Routing,
    Nhs,
    Nino,
    Iban,
    Passport,
    Birth,
    Wallet,
    Address,
    /// Versions, sections, object identifiers: not addresses.
    Version,
    /// What else is numbered: orders, serials, tickets. Not personal.
    Numbered,
    /// Device numbers, which have a payment card's check digit.
    Device,
    /// A secret's name: the value follows.
    Secret,
    /// `authorization`, `bearer`, `basic`: a credential follows.
    Scheme,
    /// A token's own beginning; the number tells which (`secrets::PREFIXES`).
    Prefix(u8),
    /// `-----BEGIN`.
    Pem,
    /// `-----END`.
    PemEnd,
    /// `eyJ`.
    Jwt,
    /// `://`.
    Url,
    /// `bc1` and its like.
    Bech32,
}

/// A word that was found, in folded bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) topic: Topic,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Words of a topic. A word ends where it says unless it ends in `*`, a stem. All in lower case.
#[rustfmt::skip]
const WORDS: &[(Topic, &[&str])] = &[
    (
        Topic::Phone,
        &[
            "phone*", "telephone*", "cellphone*", "smartphone", "cell", "cellular", "mobile*",
            "tel", "telno", "fax*", "whatsapp*", "callback*", "call", "calling", "called",
            "call back", "called back", "call me*", "call him", "call her", "call us", "call them",
            "called from", "calling from", "call from", "caller*", "calls from", "dial*",
            "reach me*", "reach him*", "reach her*", "reach us*", "reach them*", "reached at",
            "reached on", "reachable", "text me*", "texted", "sms", "ring me*", "ring back",
            "contact number*", "contact no*", "contactnumber*", "best number*", "my number*",
            "number to call", "his number", "her number", "msisdn*", "ani", "dnis", "hotline",
            "landline*", "switchboard", "voicemail*", "phn", "ph", "hp", "home number",
            "work number",
            // German, Dutch, French, Spanish, Portuguese, Italian.
            "telefon*", "rufnummer*", "handy", "handynummer*", "mobil", "mobilnummer*",
            "mobilfunk*", "anrufen", "erreichbar*", "rückruf*", "zurückrufen", "durchwahl",
            "telefoon*", "mobiel*", "gsm", "bellen", "bereikbaar*", "téléphone*", "tél",
            "portable", "appelez*", "appeler*", "rappeler*", "rappelez*", "joindre",
            "numéro de téléphone", "joignable*", "teléfono*", "telefono*", "móvil*", "movil",
            "celular*", "llamar*", "llámame*", "llame*", "llámenos", "telefone*", "telemóvel*",
            "telemovel", "ligar", "ligue*", "cellulare*", "chiamare*", "chiamami*", "chiamatemi",
            "richiamare*",
            // Nordic, Slavic, Greek, Turkish, Hungarian, Finnish.
            "puhelin*", "matkapuhelin*", "mobilnummer", "ringa", "ring mig*", "komórk*", "komork*",
            "zadzwoń*", "numer telefonu", "телефон*", "тел", "мобильн*", "позвон*", "звонит*",
            "звонок", "номер телефона", "перезвон*", "τηλέφωνο*", "τηλεφων*", "κινητό*", "cep",
            "ara beni", "arayın*", "telefonszám*", "mobilszám*", "hívj*",
            // Arabic, Hebrew, Hindi, Thai, Vietnamese, Chinese, Japanese, Korean.
            "هاتف*", "تلفن*", "تليفون*", "الهاتف*", "جوال*", "الجوال*", "موبايل*", "اتصل*", "תלפון", "טלפון*", "נייד*",
            "फ़ोन*", "फोन*", "मोबाइल*", "नंबर*", "โทร*", "มือถือ*", "điện thoại*",
            "số điện thoại*", "电话*", "電話*", "手机*", "手機*", "携帯*", "联系方式*", "致电*", "전화*", "휴대폰*",
            "핸드폰*", "연락처*",
        ],
    ),
    (
        Topic::Ssn,
        &[
            "ssn*", "social security*", "soc sec*", "social sec*", "socialsecurity*",
            "social_security*", "social-security*", "socialsecuritynumber",
        ],
    ),
    (Topic::Itin, &["itin*", "taxpayer*", "individual tax*"]),
    (Topic::Routing, &["routing*", "aba", "rtn", "transit number", "aba_number", "abanumber"]),
    (Topic::Nhs, &["nhs*"]),
    (
        Topic::Nino,
        &[
            "nino", "national insurance*", "ni number*", "ni no*", "nationalinsurance*",
            "national_insurance*",
        ],
    ),
    (Topic::Iban, &["iban*"]),
    (
        Topic::Passport,
        &[
            "passport*", "reisepass*", "passnummer", "passeport*", "pasaporte*", "passaporto*",
            "passaporte*", "paspoort*", "paszport*", "паспорт*", "पासपोर्ट*", "pasaport*", "护照*", "護照*", "旅券*",
            "パスポート*", "여권*", "جواز*", "διαβατήριο*",
        ],
    ),
    (
        Topic::Birth,
        &[
            "dob", "d.o.b", "date of birth", "date-of-birth", "date_of_birth", "dateofbirth",
            "birth date*", "birth_date", "birthdate*", "birth-date", "birthday*", "bday", "born",
            "birth", "geburtsdatum*", "geburtstag*", "geboren", "geb", "ur", "जन्म*", "date de naissance",
            "né le", "née le", "naissance", "fecha de nacimiento", "nacimiento", "nacido*",
            "nacida*", "nascita", "nato il", "nata il", "data de nascimento", "nascimento",
            "nascido*", "nascida*", "geboortedatum*", "data urodzenia", "urodzon*",
            "дата рождения", "родил*", "рождения", "doğum*", "syntymä*", "född*", "fødsels*",
            "fødselsdato*", "născut*", "narozen*", "生年月日*", "誕生日*", "出生日期*", "出生于*", "生日*",
            "생년월일*", "생일*", "تاريخ الميلاد*", "ημερομηνία γέννησης", "जन्म*", "ngày sinh*",
            "วันเกิด*",
        ],
    ),
    (
        Topic::Wallet,
        &[
            "wallet*", "ethereum", "eth", "ether", "bitcoin*", "btc", "crypto*", "metamask",
            "usdt", "usdc", "erc20", "erc-20",
        ],
    ),
    (
        Topic::Address,
        &[
            "ip", "address", "addresses", "net", "network", "hop", "ips", "ipv4", "ipv6", "ip address*", "ipaddress*", "ip_address*", "ip-address*",
            "client_ip", "clientip", "remote_addr*", "host", "server", "gateway", "subnet", "ping",
            "dns",
        ],
    ),
    (
        Topic::Version,
        &[
            "version*", "versión", "versão", "versie", "wersja*", "версия*", "sürüm*", "verze", "バージョン*", "版本*", "固件*", "ファームウェア*", "버전*", "펌웨어*", "إصدار*", "संस्करण*", "bundle", "app", "ios", "android", "section*", "ver", "build*", "firmware*", "release*", "rev", "revision", "oid", "oids",
            "section*", "chapter", "clause", "sdk", "driver*", "upgrade*", "upgraded",
            "assembly*", "patch*", "snmp", "paragraph", "asn.1", "fw", "bios", "fileversion",
            "productversion", "appendix", "software", "agent version", "hotfix",
        ],
    ),
    (
        Topic::Numbered,
        &[
            "order*", "dossier*", "vorgang*", "aktenzeichen*", "zamówieni*", "reklamacj*", "expediente*", "pratica*", "invoice*", "ticket*", "case", "case_number", "casenumber", "case number",
            "ref", "reference*", "serial*", "tracking*", "sku", "po", "purchase*", "asset*",
            "part", "partnumber", "part number", "product*", "item*", "id", "ids", "uuid", "guid",
            "sys_id", "epoch*", "timestamp*", "ts", "unix", "port", "pid", "error*", "code", "zip",
            "zipcode", "postcode", "amount*", "total*", "price*", "isbn*", "ean", "upc", "gtin",
            "vat", "eori", "incident*", "change*", "request*", "account*", "acct", "contract*",
            "policy*", "job", "batch*", "transaction*", "txn*", "session*", "trace*", "span*",
            "seq*", "bytes", "size", "model*", "otp", "awb", "waybill", "shipment*", "rma", "lot",
            "parcel*", "package*", "delivery*", "confirmation*", "booking*", "badge*", "employee*",
            "member*", "receipt*", "quote*", "record*", "row*", "count*", "units", "barcode*",
            "extension", "license*", "licence*", "customer number", "customer no", "build number",
            "hash", "checksum", "inventory*", "bestellnummer*", "rechnung*", "auftrag*",
            "kundennummer*", "seriennummer*", "commande*", "facture*", "pedido*", "factura*",
            "fattura*", "ordine*", "заказ*", "счет*", "счёт*", "订单*", "訂單*", "注文*", "주문*",
            "sequence*", "duration*", "latency", "ns", "ms", "dns serial", "soa", "user id",
            "userid",
        ],
    ),
    (Topic::Device, &["imei*", "iccid*", "imsi*", "meid*", "sim"]),
    (
        Topic::Secret,
        &[
            "password*", "passwd*", "passphrase*", "passcode*", "pass", "pwd", "pword", "pswd",
            "secret*", "api key*", "apikey*", "api_key*", "api-key*", "x-api-key", "apitoken*",
            "api token*", "api_token*", "api-token*", "access key*", "access_key*", "accesskey*",
            "access-key*", "secret key*", "secret_key*", "secretkey*", "secret-key*",
            "private key*", "private_key*", "privatekey*", "client secret*", "client_secret*",
            "clientsecret*", "client-secret*", "token*", "accountkey", "sharedaccesskey*",
            "auth_key*", "authkey*", "auth key*", "encryption key*", "encryption_key*",
            "signing key*", "signing_key*", "signing_secret", "webhook_secret", "sshpass -p",
            "sshpass", "psk", "pre-shared key", "license key*", "credential*", "passwort*",
            "kennwort*", "mot de passe*", "contraseña*", "contrasena*", "senha*", "wachtwoord*",
            "hasło*", "haslo", "пароль*", "lösenord*", "salasana*", "parola*", "şifre*", "密码*",
            "密碼*", "パスワード*", "비밀번호*", "كلمة المرور*", "κωδικός*", "पासवर्ड*", "mật khẩu*",
            "รหัสผ่าน*",
        ],
    ),
    (Topic::Scheme, &["bearer", "basic"]),
];

/// One automaton and what each of its patterns is.
struct Table {
    automaton: AhoCorasick,
    patterns: Vec<(Topic, bool)>,
}

static TABLE: LazyLock<Option<Table>> = LazyLock::new(|| {
    let mut words = Vec::new();
    let mut patterns = Vec::new();
    for (topic, list) in WORDS {
        for word in *list {
            words.push(word.trim_end_matches('*'));
            patterns.push((*topic, word.ends_with('*')));
        }
    }
    let marks = [
        (Topic::Pem, "-----begin"),
        (Topic::PemEnd, "-----end"),
        (Topic::Jwt, "eyj"),
        (Topic::Url, "://"),
    ];
    let marks = marks.into_iter().chain(["bc1", "tb1", "ltc1"].map(|p| (Topic::Bech32, p)));
    let prefixes = super::secrets::PREFIXES
        .iter()
        .zip(0..)
        .map(|(prefix, number)| (Topic::Prefix(number), prefix.begins));
    for (topic, mark) in marks.chain(prefixes) {
        words.push(mark);
        patterns.push((topic, true));
    }
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(AhoCorasickKind::DFA))
        .start_kind(StartKind::Unanchored)
        .build(&words)
        .ok()?;
    Some(Table { automaton, patterns })
});

/// Every word in folded bytes, in order; nothing if the automaton cannot be had, which is a
/// mistake of this file that a test would show.
pub(super) fn find(bytes: &[u8]) -> Option<Vec<Hit>> {
    let table = TABLE.as_ref()?;
    let mut hits = Vec::new();
    for found in table.automaton.find_iter(bytes) {
        let (topic, stem) = table.patterns[found.pattern().as_usize()];
        let hit = Hit { topic, start: found.start(), end: found.end() };
        let free = match topic {
            Topic::Pem | Topic::PemEnd | Topic::Url => true,
            Topic::Jwt | Topic::Prefix(_) | Topic::Bech32 => {
                !super::scan::wordy_before(bytes, hit.start)
            }
            _ => begins_word(bytes, hit.start) && (stem || ends_word(bytes, hit.end)),
        };
        if free && !is_placeholder(bytes, hit.start, hit.end) {
            hits.push(hit);
        }
    }
    Some(hits)
}

/// Within `[PASSPORT]`, which masking left: it says nothing about what follows.
fn is_placeholder(bytes: &[u8], start: usize, end: usize) -> bool {
    let ours = |b: &&u8| b.is_ascii_uppercase() || **b == b'_';
    let before = bytes[..start].iter().rev().take(20).take_while(ours).count();
    let after = bytes[end..].iter().take(20).take_while(ours).count();
    start > before
        && bytes[start - before - 1] == b'['
        && bytes.get(end + after) == Some(&b']')
        && bytes[start..end].iter().all(|b| ours(&b))
}

/// At the beginning of a word, also within `customerPhone` and `customer_phone`.
fn begins_word(bytes: &[u8], start: usize) -> bool {
    if start == 0 || bytes[start] >= 0xE0 {
        return true; // Scripts without blanks.
    }
    let (before, first) = (bytes[start - 1], bytes[start]);
    match before {
        b'a'..=b'z' => first.is_ascii_uppercase(),
        b'A'..=b'Z' => false,
        0x80.. => bytes[start - 1] < 0xC0 && super::scan::is_wide_before(bytes, start),
        _ => true,
    }
}

/// At the end of a word; a plural counts, and so does `phoneNumber`.
fn ends_word(bytes: &[u8], end: usize) -> bool {
    match bytes.get(end) {
        None => true,
        Some(b's') => bytes.get(end + 1).is_none_or(|b| !b.is_ascii_alphanumeric()),
        Some(b'a'..=b'z') => false,
        Some(b'A'..=b'Z') => bytes[end - 1].is_ascii_lowercase(),
        Some(0x80..) => bytes[end] >= 0xE0,
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(text: &str) -> Vec<Topic> {
        find(text.as_bytes()).unwrap().into_iter().map(|hit| hit.topic).collect()
    }

    #[test]
    fn words_are_found_as_words() {
        for (text, expected) in [
            ("his phone", vec![Topic::Phone]),
            ("customerPhone customer_phone PHONES", vec![Topic::Phone; 3]),
            ("phoneNumber", vec![Topic::Phone]),
            ("hotel excellent discard", vec![]),
            ("телефон: 電話は", vec![Topic::Phone; 2]),
            ("discussion", vec![]),
        ] {
            assert_eq!(topics(text), expected, "{text}");
        }
    }
}
