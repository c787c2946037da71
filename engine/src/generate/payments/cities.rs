//! Where people live and pay.
//!
//! Invariant: every city has a near one in another country, less than 1,200 km away; those with a
//! far one have it in their own country, more than 1,500 km away.

/// A city: country, degrees north and east times 10,000, a near city abroad, a far one at home.
#[derive(Copy, Clone)]
pub(super) struct City {
    pub(super) country: &'static str,
    pub(super) lat_e4: i32,
    pub(super) lon_e4: i32,
    pub(super) near: u8,
    pub(super) far: Option<u8>,
}

const fn city(country: &'static str, lat_e4: i32, lon_e4: i32, near: u8) -> City {
    City { country, lat_e4, lon_e4, near, far: None }
}

const fn with_far(city: City, far: u8) -> City {
    City { far: Some(far), ..city }
}

/// Every city.
pub(super) const CITIES: [City; 16] = [
    with_far(city("US", 407_128, -740_060, 2), 1), // New York
    with_far(city("US", 340_522, -1_182_437, 3), 0), // Los Angeles
    with_far(city("CA", 436_532, -793_832, 0), 4), // Toronto
    city("MX", 325_149, -1_170_382, 1),            // Tijuana
    with_far(city("CA", 492_827, -1_231_207, 15), 2), // Vancouver
    city("DE", 525_200, 134_050, 6),               // Berlin
    city("PL", 522_297, 210_122, 5),               // Warsaw
    city("FR", 488_566, 23_522, 8),                // Paris
    city("GB", 515_074, -1_278, 7),                // London
    city("IE", 533_498, -62_603, 8),               // Dublin
    city("ES", 404_168, -37_038, 11),              // Madrid
    city("PT", 387_223, -91_393, 10),              // Lisbon
    city("IT", 454_642, 91_900, 13),               // Milan
    city("CH", 473_769, 85_417, 12),               // Zurich
    city("NL", 523_676, 49_041, 5),                // Amsterdam
    city("US", 476_062, -1_223_321, 4),            // Seattle
];

/// Cities with a far one.
pub(super) const FAR: [u8; 4] = [0, 1, 2, 4];
