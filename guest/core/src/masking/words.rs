//! The words that are context: near which word a number is a phone number, near which it is an
//! order's; and the beginnings of secrets. They are looked up where a word begins, in a table that
//! the compiler makes.

use super::block::BLOCK;
use super::secrets::PREFIXES;

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
    /// What has versions: an upgrade, a driver, an app. Also what addresses are the addresses of.
    Product,
    /// What else is numbered: orders, serials, tickets. Not personal.
    Numbered,
    /// Device numbers, which have a payment card's check digit.
    Device,
    /// A secret's name: the value follows.
    Secret,
    /// `authorization`, `bearer`, `basic`: a credential follows.
    Scheme,
    /// A token's own beginning.
    Prefix,
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

/// A set of topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Topics(u32);

impl Topics {
    pub(super) const NONE: Topics = Topics(0);

    pub(super) const fn of(topics: &[Topic]) -> Topics {
        let (mut set, mut i) = (Topics::NONE, 0);
        while i < topics.len() {
            set = set.with(topics[i]);
            i += 1;
        }
        set
    }

    pub(super) const fn with(self, topic: Topic) -> Topics {
        Topics(self.0 | 1 << topic as u32)
    }

    pub(super) const fn has(self, topic: Topic) -> bool {
        self.0 & 1 << topic as u32 != 0
    }

    pub(super) const fn meets(self, other: Topics) -> bool {
        self.0 & other.0 != 0
    }
}

/// A word that was found, in folded bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) topic: Topic,
    /// Which of `secrets::PREFIXES`, if that is what it is.
    pub(super) prefix: u8,
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
            "work number", "caller id*", "caller_id*", "callerid*", "caller-id*",
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
            "puhelin*", "matkapuhelin*", "ringa", "ring mig*", "komórk*", "komork*",
            "zadzwoń*", "numer telefonu", "телефон*", "тел", "мобильн*", "позвон*", "звонит*",
            "звонок", "номер телефона", "перезвон*", "τηλέφωνο*", "τηλεφων*", "κινητό*", "cep",
            "ara beni", "arayın*", "telefonszám*", "mobilszám*", "hívj*",
            // Arabic, Hebrew, Hindi, Thai, Vietnamese, Chinese, Japanese, Korean.
            "هاتف*", "تلفن*", "تليفون*", "الهاتف*", "جوال*", "الجوال*", "موبايل*", "اتصل*", "תלפון", "טלפון*", "נייד*",
            "फ़ोन*", "फोन*", "मोबाइल*", "नंबर*", "โทร*", "มือถือ*", "điện thoại*",
            "số điện thoại*", "电话*", "電話*", "手机*", "手機*", "携帯*", "联系方式*", "致电*", "전화*", "휴대폰*",
            "핸드폰*", "연락처*", "tlf*", "nås på", "mobilnr*", "puh", "telefón*", "mobitel*", "telepon*",
            "rufen sie mich*", "ruf mich*", "rufen sie uns*", "erreichen sie mich*", "mich erreichen", "erreichen mich*",
            "meine nummer*", "bel mij*", "mijn nummer*", "mon numéro*", "mi número*",
            "il mio numero*", "meu número*", "dzwonić*", "mitt nummer*",
            "hubungi*", "nomor hp*", "sunați*", "apelați*", "дзвон*", "nomor telepon*",
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
            "パスポート*", "여권*", "جواز*", "διαβατήριο*", "pasnummer", "passinumero*", "passin numero*", "útlevél*", "pașaport*", "דרכון*", "hộ chiếu*",
            "หนังสือเดินทาง*", "paspor*", "putovnic*", "číslo pasu", "cestovní pas*",
        ],
    ),
    (
        Topic::Birth,
        &[
            "dob", "d.o.b", "date of birth", "date-of-birth", "date_of_birth", "dateofbirth",
            "birth date*", "birth_date", "birthdate*", "birth-date", "birthday*", "bday", "born",
            "birth", "geburtsdatum*", "geburtstag*", "geboren", "geb", "ur.", "b'day", "né(e) le", "nato a", "nata a", "date de naissance",
            "né le", "née le", "naissance", "fecha de nacimiento", "nacimiento", "nacido*",
            "nacida*", "nascita", "nato il", "nata il", "data de nascimento", "nascimento",
            "nascido*", "nascida*", "geboortedatum*", "data urodzenia", "urodzon*",
            "дата рождения", "родил*", "рождения", "doğum*", "syntymä*", "född*", "fødsels*",
            "fødselsdato*", "născut*", "narozen*", "生年月日*", "誕生日*", "出生日期*", "出生于*", "生日*",
            "생년월일*", "생일*", "تاريخ الميلاد*", "ημερομηνία γέννησης", "जन्म*", "ngày sinh*",
            "วันเกิด*", "födelse*", "születés*", "született*", "data nașterii", "naștere*", "γεννήθηκε*",
            "תאריך לידה*", "народження*", "rođen*", "narodenia", "tanggal lahir", "født*", "datum narození",
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
            "version*", "versión", "versão", "versie", "wersj*", "версия*", "sürüm*", "verze", "バージョン*", "版本*", "固件*", "ファームウェア*", "버전*", "펌웨어*", "إصدار*", "संस्करण*", "ver", "build*", "firmware*", "bootloader*", "release*", "rev", "revision", "oid", "oids",
            "section*", "chapter", "clause", "paragraph", "asn.1", "fw", "fileversion",
            "productversion", "appendix", "see also", "siehe auch", "voir aussi", "agent version",
        ],
    ),
    (
        Topic::Product,
        &[
            "bundle", "app", "ios", "android", "sdk", "driver*", "upgrade*", "upgraded",
            "assembly*", "patch*", "snmp", "bios", "software", "hotfix",
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
            "numéro de série*", "numéro de suivi*", "inventaire*", "número de serie*",
            "numero de serie*", "nº de seguimiento*", "número de seguimiento*", "número de série*",
            "encomenda*", "numero di serie*", "spedizione*", "serienummer*", "bestelnummer*",
            "vertragsnummer*", "inventarnummer*", "artikelnummer*", "sendungsnummer*",
            "numer seryjny*", "seri no*", "sipariş*", "シリアル番号*", "追跡番号*", "序列号*", "快递单号*",
            "시리얼*", "송장*", "ऑर्डर*", "ऑर्डर नंबर*", "رقم الطلب*", "الرقم التسلسلي*", "رقم التتبع*",
            "faktur*", "fatura*", "artikelnr*", "bestelling*", "protocolo*", "ärendenr*", "sagsnr*",
            "numer sprawy*", "talep no*",
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
            "hasło*", "haslo", "пароль*", "парола*", "lösenord*", "heslo*", "jelszó*", "jelszav*", "parolă*", "adgangskode*",
            "pgpassword*", "mysql_pwd*", "kodeord*", "passord*", "lozink*", "kata sandi*", "סיסמה*", "סיסמא*", "συνθηματικό*", "口令*",
            "رمز عبور*", "كلمة السر*", "parool*", "slaptažod*", "salasana*", "parola*", "şifre*", "密码*",
            "密碼*", "パスワード*", "비밀번호*", "كلمة المرور*", "κωδικός*", "पासवर्ड*", "mật khẩu*",
            "รหัสผ่าน*",
        ],
    ),
    (Topic::Scheme, &["bearer", "basic"]),
];

/// Beginnings that are no words: what stands there tells by itself.
const MARKS: &[(Topic, &str)] = &[
    (Topic::Jwt, "eyj"),
    (Topic::Bech32, "bc1"),
    (Topic::Bech32, "tb1"),
    (Topic::Bech32, "ltc1"),
    (Topic::Pem, "-----begin"),
    (Topic::PemEnd, "-----end"),
    (Topic::Url, "://"),
];

/// A word, mark or prefix as it is searched.
#[derive(Clone, Copy)]
struct Pattern {
    text: &'static [u8],
    topic: Topic,
    /// Which of `PREFIXES`, if that is what it is.
    prefix: u8,
    /// Whether a word may go on after it.
    stem: bool,
}

impl Pattern {
    const fn new(text: &'static str, topic: Topic) -> Pattern {
        let bytes = text.as_bytes();
        match bytes {
            [stem @ .., b'*'] => Pattern { text: stem, topic, prefix: 0, stem: true },
            _ => Pattern { text: bytes, topic, prefix: 0, stem: false },
        }
    }
}

const COUNT: usize = {
    let (mut count, mut i) = (MARKS.len() + PREFIXES.len(), 0);
    while i < WORDS.len() {
        count += WORDS[i].1.len();
        i += 1;
    }
    count
};

/// The table is made when Firn is compiled: nothing is built at run time, and nothing can fail.
struct Table {
    /// By bucket, the longer first.
    patterns: [Pattern; COUNT],
    /// The first eight bytes of each pattern and which of them it has, to tell most of a bucket apart at once.
    heads: [(u64, u64); COUNT],
    /// Where each bucket begins; where the next one begins, it ends.
    buckets: [u16; BUCKETS + 1],
    /// By the first two bytes of a word: which bytes may be the third of a pattern, a bit each. Of
    /// each byte the lower five bits.
    thirds: [u32; 1 << 10],
}

/// How far ahead of where it begins a word is looked at, in ASCII: to its end, to the end of a
/// placeholder that it is in, and a little more.
pub(super) const SIGHT: usize = {
    let (mut longest, mut i) = (0, 0);
    while i < COUNT {
        let text = TABLE.patterns[i].text;
        if text.is_ascii() && text.len() > longest {
            longest = text.len();
        }
        i += 1;
    }
    longest + PLACEHOLDER + 4
};

const BUCKETS: usize = 2_048;

/// The first bytes of a word as a number. Letters lose their case by this bit; what else it
/// changes, it changes on both sides.
const fn head(bytes: [u8; 4]) -> u32 {
    u32::from_le_bytes(bytes) | 0x2020_2020
}

/// The bucket of a word by its first three bytes, or by its two.
const fn bucket(head: u32, length: u32) -> usize {
    let key = head & (u32::MAX >> (32 - 8 * length));
    (key.wrapping_mul(0x9E37_79B1) >> 21) as usize
}

/// The first four bytes of a pattern; 0 where a shorter one has none.
const fn head_of(text: &[u8]) -> u32 {
    let mut bytes = [0; 4];
    let mut i = 0;
    while i < 4 && i < text.len() {
        bytes[i] = text[i];
        i += 1;
    }
    match text.len() {
        2 => head(bytes) & 0xFFFF,
        3 => head(bytes) & 0x00FF_FFFF,
        _ => head(bytes),
    }
}

/// The first eight bytes of a pattern, and which of them it has.
const fn long_head_of(text: &[u8]) -> (u64, u64) {
    let mut bytes = [0; 8];
    let mut i = 0;
    while i < 8 && i < text.len() {
        bytes[i] = text[i];
        i += 1;
    }
    let mask = u64::MAX >> (64 - 8 * i);
    (long_head(bytes) & mask, mask)
}

/// The first eight bytes of a word as a number, as `head` is of four.
const fn long_head(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes) | 0x2020_2020_2020_2020
}

const fn bucket_of(text: &[u8]) -> usize {
    bucket(head_of(text), if text.len() == 2 { 2 } else { 3 })
}

static TABLE: Table = table();

const fn table() -> Table {
    let mut all = [Pattern::new("", Topic::Phone); COUNT];
    let mut count = 0;
    let mut i = 0;
    while i < WORDS.len() {
        let mut k = 0;
        while k < WORDS[i].1.len() {
            all[count] = Pattern::new(WORDS[i].1[k], WORDS[i].0);
            count += 1;
            k += 1;
        }
        i += 1;
    }
    i = 0;
    while i < MARKS.len() {
        all[count] = Pattern::new(MARKS[i].1, MARKS[i].0);
        count += 1;
        i += 1;
    }
    i = 0;
    while i < PREFIXES.len() {
        all[count] = Pattern::new(PREFIXES[i].begins, Topic::Prefix);
        all[count].prefix = i as u8;
        count += 1;
        i += 1;
    }
    // By buckets: count, add up, put in place.
    let mut sizes = [0u16; BUCKETS];
    i = 0;
    while i < COUNT {
        sizes[bucket_of(all[i].text)] += 1;
        i += 1;
    }
    let mut buckets = [0u16; BUCKETS + 1];
    i = 0;
    while i < BUCKETS {
        buckets[i + 1] = buckets[i] + sizes[i];
        i += 1;
    }
    let mut patterns = all;
    let mut filled = [0u16; BUCKETS];
    i = 0;
    while i < COUNT {
        let bucket = bucket_of(all[i].text);
        let from = buckets[bucket] as usize;
        let mut place = from + filled[bucket] as usize;
        while place > from && patterns[place - 1].text.len() < all[i].text.len() {
            patterns[place] = patterns[place - 1];
            place -= 1;
        }
        patterns[place] = all[i];
        filled[bucket] += 1;
        i += 1;
    }
    let mut heads = [(0, 0); COUNT];
    i = 0;
    while i < COUNT {
        heads[i] = long_head_of(patterns[i].text);
        i += 1;
    }
    let mut thirds = [0; 1 << 10];
    i = 0;
    while i < COUNT {
        let head = head_of(all[i].text);
        // What is of two bytes goes on with anything.
        thirds[first_two(head)] |= if all[i].text.len() == 2 { u32::MAX } else { 1 << third(head) };
        i += 1;
    }
    Table { patterns, heads, buckets, thirds }
}

const fn first_two(head: u32) -> usize {
    (head & 31 | head >> 3 & 31 << 5) as usize
}

const fn third(head: u32) -> u32 {
    head >> 16 & 31
}

impl Table {
    /// Whether a pattern may begin so, by three bytes.
    #[inline]
    fn begins(&self, head: u32) -> bool {
        self.thirds[first_two(head)] >> third(head) & 1 != 0
    }
}

pub(super) fn all() -> impl Iterator<Item = &'static [u8]> {
    TABLE.patterns.iter().map(|pattern| pattern.text)
}

/// The first bytes of a text.
#[inline]
fn head_at(bytes: &[u8], start: usize) -> u32 {
    let rest = &bytes[start..];
    match rest.first_chunk::<4>() {
        Some(four) => head(*four),
        None => {
            let mut four = [0; 4];
            four[..rest.len()].copy_from_slice(rest);
            head(four)
        }
    }
}

/// Whether a word may begin here, by its first three bytes: most are told by them.
#[inline]
pub(super) fn may_begin(bytes: &[u8], start: usize) -> bool {
    TABLE.begins(head_at(bytes, start))
}

/// The same within bytes that are known to be there.
#[inline]
pub(super) fn may_begin_in(window: &[u8; BLOCK + 4], place: usize) -> bool {
    let at = place & (BLOCK - 1);
    TABLE.begins(head([window[at], window[at + 1], window[at + 2], window[at + 3]]))
}

/// The longest word that begins here, where `begins_word`.
pub(super) fn at(bytes: &[u8], start: usize) -> Option<Hit> {
    let rest = &bytes[start..];
    let head = match rest.first_chunk::<8>() {
        Some(eight) => long_head(*eight),
        None => {
            let mut eight = [0; 8];
            eight[..rest.len()].copy_from_slice(rest);
            long_head(eight)
        }
    };
    // Those of three letters and more, then those of two.
    [3, 2].into_iter().find_map(|length| {
        let bucket = bucket(head as u32, length);
        let (from, to) =
            (usize::from(TABLE.buckets[bucket]), usize::from(TABLE.buckets[bucket + 1]));
        TABLE.heads[from..to]
            .iter()
            .zip(from..)
            .filter(|((pattern, mask), _)| (head ^ pattern) & mask == 0)
            .find_map(|(_, index)| is_there(index, bytes, start))
    })
}

#[inline(never)]
fn is_there(index: usize, bytes: &[u8], start: usize) -> Option<Hit> {
    let pattern = &TABLE.patterns[index];
    let end = start + pattern.text.len();
    let text = bytes.get(start..end)?;
    if !is_in_lower_case(text, pattern.text) {
        return None;
    }
    // `eth0` is a network's.
    if pattern.topic == Topic::Wallet && bytes.get(end).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let free = match pattern.topic {
        Topic::Pem | Topic::PemEnd | Topic::Url => true,
        Topic::Jwt | Topic::Prefix | Topic::Bech32 => !super::scan::wordy_before(bytes, start),
        _ => pattern.stem || ends_word(bytes, end),
    };
    (free && !is_placeholder(bytes, start, end)).then_some(Hit {
        topic: pattern.topic,
        prefix: pattern.prefix,
        start,
        end,
    })
}

/// Whether a text is a word of as many bytes but for its case: eight of them at a time, the last ones first.
#[inline]
fn is_in_lower_case(text: &[u8], word: &[u8]) -> bool {
    let same = |text: u64, word: u64| lowered(text) == word;
    if let (Some(last), Some(end)) = (text.last_chunk(), word.last_chunk()) {
        let (all, _) = text.as_chunks::<8>();
        let (words, _) = word.as_chunks::<8>();
        return same(u64::from_le_bytes(*last), u64::from_le_bytes(*end))
            && all
                .iter()
                .zip(words)
                .all(|(text, word)| same(u64::from_le_bytes(*text), u64::from_le_bytes(*word)));
    }
    match (outer(text), outer(word)) {
        (Some(text), Some(word)) => same(text, word),
        _ => text.iter().zip(word).all(|(b, p)| b.to_ascii_lowercase() == *p),
    }
}

/// The first four bytes and the last four.
#[inline]
fn outer(text: &[u8]) -> Option<u64> {
    let four = |four: &[u8; 4]| u64::from(u32::from_le_bytes(*four));
    Some(four(text.first_chunk()?) | four(text.last_chunk()?) << 32)
}

/// Eight bytes, their letters of ASCII in lower case.
#[inline]
const fn lowered(bytes: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let low = bytes & !HIGH;
    let from_a = low + (0x80 - b'A' as u64) * EACH;
    let beyond_z = low + (0x7F - b'Z' as u64) * EACH;
    bytes | (from_a & !beyond_z & !bytes & HIGH) >> 2
}

/// The most letters before or after a word within a placeholder.
const PLACEHOLDER: usize = 20;

/// Within `[PASSPORT]` or `[PASSPORT:...]`, which masking left: it says nothing about what follows.
fn is_placeholder(bytes: &[u8], start: usize, end: usize) -> bool {
    if !bytes[start].is_ascii_uppercase() {
        return false;
    }
    let ours = |b: &&u8| b.is_ascii_uppercase() || **b == b'_';
    let before = bytes[..start].iter().rev().take(PLACEHOLDER).take_while(ours).count();
    let after = bytes[end..].iter().take(PLACEHOLDER).take_while(ours).count();
    start > before
        && bytes[start - before - 1] == b'['
        && matches!(bytes.get(end + after), Some(b']' | b':'))
        && bytes[start..end].iter().all(|b| ours(&b))
}

/// At the beginning of a word, also within `customerPhone` and `customer_phone`.
#[inline]
pub(super) fn begins_word(bytes: &[u8], start: usize) -> bool {
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
        let mut notes = super::super::scan::Notes::default();
        notes.read(text.as_bytes());
        let scan = notes.scan(text.as_bytes(), None);
        scan.hits.iter().map(|hit| hit.topic).collect()
    }

    #[test]
    fn every_word_is_in_lower_case_and_stands_once() {
        let mut all: Vec<&[u8]> = TABLE.patterns.iter().map(|pattern| pattern.text).collect();
        assert!(all.iter().all(|text| text.len() >= 2));
        for text in &all {
            let text = std::str::from_utf8(text).unwrap();
            assert_eq!(text.to_lowercase(), text);
        }
        all.sort();
        for two in all.windows(2) {
            assert_ne!(two[0], two[1], "{}", String::from_utf8_lossy(two[0]));
        }
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
