//! The examples of the vendor's pages, version 2026-03-01, as they stand there.

/// `GET /tax/certificates/{certificate_id}`, on the page about both objects.
pub(crate) const CERTIFICATE: &str = r#"{
"id": "cert_a8f3d2c1-1b9a-4c5e-8d7e-6f4a3b2c1d0e",
"object": "tax.exemption_certificate",
"status": "active",
"certificate_type": {
"id": "12",
"name": "California Resale Certificate (CDTFA-230)",
"certificate_identifier": "US-CA-CDTFA-230"
},
"customer": {
"id": "cust_6126acaf-7379-411a-8ada-00005bac0715",
"reference_customer_id": "20506"
},
"jurisdictions": [
{
"jurisdiction_id": "US-CA",
"status": "active",
"effective_date": "2026-01-01",
"expiration_date": "2027-01-01"
}
],
"effective_date": "2026-01-01",
"expiration_date": "2027-01-01",
"created_at": "2026-01-02T10:15:23.456Z",
"updated_at": "2026-01-05T11:00:00.000Z",
"livemode": true,
"download_url": "https://signed.example.com/...?X-Amz-Expires=3600&..."
}"#;

/// `GET /tax/certificates`, on its own page: rows without a status of either kind, and instants in whole seconds.
pub(crate) const CERTIFICATE_LIST: &str = r#"{
  "object": "list",
  "certificates": [
    {
      "id": "cert_a8f3d2c1-1b9a-4c5e-8d7e-6f4a3b2c1d0e",
      "object": "tax.exemption_certificate",
      "certificate_type": {
        "id": "12",
        "name": "California Resale Certificate (CDTFA-230)",
        "certificate_identifier": "US-CA-CDTFA-230"
      },
      "customer": {
        "id": "cust_6126acaf-7379-411a-8ada-00005bac0715",
        "reference_customer_id": "20506"
      },
      "jurisdictions": [
        {
          "jurisdiction_id": "US-CA",
          "effective_date": "2023-12-25",
          "expiration_date": "2023-12-25"
        }
      ],
      "effective_date": "2023-12-25",
      "expiration_date": "2023-12-25",
      "created_at": "2023-11-07T05:31:56Z",
      "updated_at": "2023-11-07T05:31:56Z",
      "livemode": true
    }
  ],
  "has_more": true,
  "next_cursor": "<string>"
}"#;

/// `GET /tax/certificate-requests?status=pending&limit=5`, on the page about both objects.
pub(crate) const PENDING_REQUEST_LIST: &str = r#"{
"object": "list",
"certificate_requests": [
{
"id": "cert_req_b2f1e4a3-9c0d-4e7a-8b1f-2d5a6e7b8c9d",
"object": "tax.certificate_request",
"status": "pending",
"customer": {
"id": "cust_6126acaf-7379-411a-8ada-00005bac0715",
"reference_customer_id": "20506"
},
"certificate_id": null,
"certificate_type_id": "US-CA-CDTFA-230",
"jurisdictions": ["US-CA"],
"created_at": "2026-06-10T18:24:09.123Z",
"updated_at": "2026-06-10T18:24:09.123Z",
"expires_at": "2026-07-10T18:24:09.123Z",
"livemode": true
}
],
"has_more": false
}"#;

/// `GET /tax/certificate-requests`, on its own page: a row without a status, and instants in whole seconds.
pub(crate) const REQUEST_LIST: &str = r#"{
  "object": "list",
  "certificate_requests": [
    {
      "id": "cert_req_b2f1e4a3-9c0d-4e7a-8b1f-2d5a6e7b8c9d",
      "object": "tax.certificate_request",
      "customer": {
        "id": "cust_6126acaf-7379-411a-8ada-00005bac0715",
        "reference_customer_id": "20506"
      },
      "certificate_id": "cert_a8f3d2c1-1b9a-4c5e-8d7e-6f4a3b2c1d0e",
      "certificate_type_id": "US-CA-CDTFA-230",
      "jurisdictions": [
        "US-CA"
      ],
      "created_at": "2023-11-07T05:31:56Z",
      "updated_at": "2023-11-07T05:31:56Z",
      "expires_at": "2023-11-07T05:31:56Z",
      "livemode": true
    }
  ],
  "has_more": true,
  "next_cursor": "<string>"
}"#;
