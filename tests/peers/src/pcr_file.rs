//! PCR values as tpm2-tools write them.

/// `tpm2_quote -o`, in the format `serialized`: the banks by their TPM_ALG_IDs, each with its PCRs, then
/// the values of all, eight in a list.
pub fn pcr_file(banks: &[(u16, Vec<u32>)], values: &[Vec<u8>]) -> Vec<u8> {
    let number = |len: usize| u32::try_from(len).unwrap().to_le_bytes();
    let mut file = number(banks.len()).to_vec();
    for (id, pcrs) in banks {
        let mut bits = [0u8; 4];
        for pcr in pcrs {
            *bits.get_mut(*pcr as usize / 8).unwrap() |= 1 << (pcr % 8);
        }
        file.extend(id.to_le_bytes());
        file.push(3);
        file.extend(bits);
        file.push(0);
    }
    file.resize(4 + 16 * 8, 0);
    let lists: Vec<&[Vec<u8>]> = values.chunks(8).collect();
    file.extend(number(lists.len()));
    for list in lists {
        file.extend(number(list.len()));
        for at in 0..8 {
            let value = list.get(at).map_or(&[][..], Vec::as_slice);
            file.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
            file.extend([value, &vec![0; 64 - value.len()]].concat());
        }
    }
    file
}
