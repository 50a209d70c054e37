//! Documents behind URLs that look signed, are different each time, and stop working after an hour.

use std::time::Duration;

use url::form_urlencoded;

use crate::model::time::Timestamp;
use crate::sandbox::dice::Dice;

/// How long a URL works.
pub const LIFETIME: Duration = Duration::from_secs(3600);

/// Mints a URL for a certificate's document. `host` is where the sandbox was called, so that the URL leads back.
/// `secret` keeps URLs of one sandbox from working at another; it is no protection against anybody.
pub fn mint(host: &str, certificate_id: &str, secret: u64, nonce: u64, now: Timestamp) -> String {
    let date = amz_date(now);
    let credential = format!("{nonce:016X}");
    let signature = sign(certificate_id, &date, &credential, secret);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
        .append_pair("X-Amz-Credential", &credential)
        .append_pair("X-Amz-Date", &date)
        .append_pair("X-Amz-Expires", &LIFETIME.as_secs().to_string())
        .append_pair("X-Amz-SignedHeaders", "host")
        .append_pair("X-Amz-Signature", &signature)
        .finish();
    format!("http://{host}/sandbox/documents/{certificate_id}?{query}")
}

/// Whether a URL's query opens a certificate's document at `now`.
pub fn opens(certificate_id: &str, query: &str, secret: u64, now: Timestamp) -> bool {
    let value = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    };
    let (Some(date), Some(credential), Some(signature)) =
        (value("X-Amz-Date"), value("X-Amz-Credential"), value("X-Amz-Signature"))
    else {
        return false;
    };
    let issued = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &date)
        .ok()
        .and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|at| Timestamp::from_millis(at.timestamp().as_millisecond()));
    signature == sign(certificate_id, &date, &credential, secret)
        && issued.is_some_and(|issued| now < issued.plus(LIFETIME))
}

fn amz_date(at: Timestamp) -> String {
    let instant = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    instant.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// 64 hexadecimal digits that depend on everything. It only looks like an HMAC.
fn sign(certificate_id: &str, date: &str, credential: &str, secret: u64) -> String {
    let text = format!("{certificate_id}\n{date}\n{credential}");
    let seed = text.bytes().fold(secret, |mixed, byte| Dice::seeded(mixed ^ u64::from(byte)).number());
    let mut dice = Dice::seeded(seed);
    (0..4).map(|_| format!("{:016x}", dice.number())).collect()
}

/// A one-page PDF that says which certificate it stands for.
pub fn pdf(certificate_id: &str) -> Vec<u8> {
    let words: String =
        certificate_id.chars().filter(|word| word.is_ascii_alphanumeric() || "_-".contains(*word)).collect();
    let content = format!("BT /F1 14 Tf 72 720 Td (Simulated exemption certificate {words}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".into(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".into(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
            .into(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
    ];
    let mut file = String::from("%PDF-1.4\n");
    let mut table = String::from("0000000000 65535 f \n");
    for (number, object) in (1..).zip(&objects) {
        table += &format!("{:010} 00000 n \n", file.len());
        file += &format!("{number} 0 obj\n{object}\nendobj\n");
    }
    let count = objects.len() + 1;
    let start = file.len();
    file += &format!("xref\n0 {count}\n{table}trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    file.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_opens_its_own_document_for_an_hour() {
        let now: Timestamp = "2026-11-21T04:31:20Z".parse().expect("an instant");
        let url = mint("127.0.0.1:8091", "cert_1", 7, 1, now);
        let (path, query) = url.split_once('?').expect("a query");
        assert_eq!(path, "http://127.0.0.1:8091/sandbox/documents/cert_1");
        assert!(query.contains("X-Amz-Expires=3600&"), "{query}");
        let after = |seconds| now.plus(Duration::from_secs(seconds));
        assert!(opens("cert_1", query, 7, after(3599)));
        assert!(!opens("cert_1", query, 7, after(3600)), "it has expired");
        assert!(!opens("cert_2", query, 7, now), "it is another's");
        assert!(!opens("cert_1", query, 8, now), "it is another sandbox's");
        assert!(!opens("cert_1", "", 7, now));
        assert_ne!(url, mint("127.0.0.1:8091", "cert_1", 7, 2, now), "each one is fresh");
    }

    #[test]
    fn the_document_is_a_pdf_whose_table_points_at_its_objects() {
        let file = String::from_utf8(pdf("cert_1")).expect("text");
        assert!(file.starts_with("%PDF-1.4"));
        let table = file.split("65535 f \n").nth(1).expect("a table");
        for (number, line) in (1..=4).zip(table.lines()) {
            let offset: usize = line[..10].parse().expect("an offset");
            assert!(file[offset..].starts_with(&format!("{number} 0 obj")), "{line}");
        }
    }
}
