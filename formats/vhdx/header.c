/*
 * The two headers. SPDX-License-Identifier: BSD-2-Clause
 *
 * The valid one with the higher sequence number holds. A change is written over the other one and
 * flushed, twice, so that one of them is whole at any time and in the end both say the same
 * (2.2.2).
 */
#include "vhdx.h"

#define AT_CHECKSUM 4u

uint32_t vhdx_crc(const uint8_t *bytes, size_t length)
{
    static const uint8_t none[4];
    uint32_t crc = imgi_crc32c(0, bytes, AT_CHECKSUM);

    crc = imgi_crc32c(crc, none, sizeof(none));
    return imgi_crc32c(crc, bytes + AT_CHECKSUM + 4, length - AT_CHECKSUM - 4);
}

int vhdx_header_decode(const uint8_t bytes[VHDX_HEADER_BYTES], struct vhdx_header *header,
                       img_error *err)
{
    if (imgi_get_le32(bytes) != VHDX_HEADER_SIGNATURE)
        return imgi_fail(err, IMG_E_CORRUPT, "the signature is 0x%08x", imgi_get_le32(bytes));
    if (imgi_get_le32(bytes + AT_CHECKSUM) != vhdx_crc(bytes, VHDX_HEADER_BYTES))
        return imgi_fail(err, IMG_E_CORRUPT, "the checksum is 0x%08x, and should be 0x%08x",
                         imgi_get_le32(bytes + AT_CHECKSUM), vhdx_crc(bytes, VHDX_HEADER_BYTES));
    *header = (struct vhdx_header){
        .sequence = imgi_get_le64(bytes + VHDX_HEADER_AT_SEQUENCE),
        .file_write = vhdx_guid_get(bytes + VHDX_HEADER_AT_FILE_WRITE_GUID),
        .data_write = vhdx_guid_get(bytes + VHDX_HEADER_AT_DATA_WRITE_GUID),
        .log = vhdx_guid_get(bytes + VHDX_HEADER_AT_LOG_GUID),
        .log_version = imgi_get_le16(bytes + VHDX_HEADER_AT_LOG_VERSION),
        .version = imgi_get_le16(bytes + VHDX_HEADER_AT_VERSION),
        .log_length = imgi_get_le32(bytes + VHDX_HEADER_AT_LOG_LENGTH),
        .log_offset = imgi_get_le64(bytes + VHDX_HEADER_AT_LOG_OFFSET),
    };
    return 0;
}

void vhdx_header_encode(const struct vhdx_header *header, uint8_t bytes[VHDX_HEADER_BYTES])
{
    imgi_put_le32(bytes, VHDX_HEADER_SIGNATURE);
    imgi_put_le64(bytes + VHDX_HEADER_AT_SEQUENCE, header->sequence);
    vhdx_guid_put(bytes + VHDX_HEADER_AT_FILE_WRITE_GUID, &header->file_write);
    vhdx_guid_put(bytes + VHDX_HEADER_AT_DATA_WRITE_GUID, &header->data_write);
    vhdx_guid_put(bytes + VHDX_HEADER_AT_LOG_GUID, &header->log);
    imgi_put_le16(bytes + VHDX_HEADER_AT_LOG_VERSION, header->log_version);
    imgi_put_le16(bytes + VHDX_HEADER_AT_VERSION, header->version);
    imgi_put_le32(bytes + VHDX_HEADER_AT_LOG_LENGTH, header->log_length);
    imgi_put_le64(bytes + VHDX_HEADER_AT_LOG_OFFSET, header->log_offset);
    imgi_put_le32(bytes + AT_CHECKSUM, vhdx_crc(bytes, VHDX_HEADER_BYTES));
}

int vhdx_header_check(const struct vhdx_header *header, uint64_t file_size, img_error *err)
{
    if (header->version != VHDX_VERSION)
        return imgi_fail(err, IMG_E_UNSUPPORTED, "header: version %u is not supported",
                         header->version);
    if (header->log_version != VHDX_LOG_VERSION && !vhdx_guid_is_zero(&header->log))
        return imgi_fail(err, IMG_E_UNSUPPORTED,
                         "header: log version %u is not supported, and the log is not empty",
                         header->log_version);
    if (header->log_length == 0 || header->log_length % VHDX_MIB != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "header: a log length of %u bytes is no multiple of 1 MiB",
                         header->log_length);
    if (header->log_offset < VHDX_HEADER_SECTION || header->log_offset % VHDX_MIB != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "header: the log lies at 0x%llx, which is no multiple of 1 MiB behind the "
                         "header section",
                         (unsigned long long)header->log_offset);
    if (!imgi_span_ok(header->log_offset, header->log_length, file_size))
        return imgi_fail(err, IMG_E_CORRUPT,
                         "header: the log of %u bytes at 0x%llx reaches past the end of the file "
                         "(%llu bytes)",
                         header->log_length, (unsigned long long)header->log_offset,
                         (unsigned long long)file_size);
    return 0;
}

static int read_copy(struct vhdx *v, unsigned n, struct vhdx_header *header, uint8_t *bytes,
                     img_error *err)
{
    int rc = imgi_io_read(v->node->file, bytes, VHDX_HEADER_BYTES, VHDX_AT_HEADER(n), err);

    if (rc == 0)
        rc = vhdx_header_decode(bytes, header, err);
    if (rc < 0)
        imgi_error_prefix(err, "header %u at 0x%llx", n + 1, (unsigned long long)VHDX_AT_HEADER(n));
    return rc;
}

int vhdx_headers_read(struct vhdx *v, img_error *err)
{
    uint8_t bytes[2][VHDX_HEADER_BYTES];
    struct vhdx_header copies[2];
    img_error failure[2] = {{0}};
    uint64_t file_size;
    int rc[2];

    for (unsigned n = 0; n < 2; n++) {
        rc[n] = read_copy(v, n, &copies[n], bytes[n], &failure[n]);
        v->bad_header[n] = rc[n] < 0;
    }
    if (rc[0] < 0 && rc[1] < 0) {
        if (err)
            *err = failure[0];
        return rc[0];
    }
    if (rc[0] == 0 && rc[1] == 0 && copies[0].sequence == copies[1].sequence &&
        memcmp(bytes[0], bytes[1], VHDX_HEADER_BYTES) != 0)
        return imgi_fail(err, IMG_E_CORRUPT,
                         "both headers have the sequence number %llu, and differ",
                         (unsigned long long)copies[0].sequence);
    v->current = rc[0] < 0 || (rc[1] == 0 && copies[1].sequence > copies[0].sequence);
    v->header = copies[v->current];
    memcpy(v->header_bytes, bytes[v->current], VHDX_HEADER_BYTES);
    rc[0] = imgi_io_size(v->node->file, &file_size, err);
    return rc[0] < 0 ? rc[0] : vhdx_header_check(&v->header, file_size, err);
}

int vhdx_headers_write(struct vhdx *v, img_error *err)
{
    int rc = 0;

    for (unsigned n = 0; rc == 0 && n < 2; n++) {
        unsigned other = !v->current;

        v->header.sequence++;
        vhdx_header_encode(&v->header, v->header_bytes);
        rc = imgi_io_write(v->node->file, v->header_bytes, VHDX_HEADER_BYTES, VHDX_AT_HEADER(other),
                           err);
        if (rc == 0)
            rc = imgi_io_flush(v->node->file, err);
        if (rc == 0) {
            v->current = other;
            v->bad_header[other] = false;
        }
    }
    return rc;
}

int vhdx_begin_write(struct imgi_node *node, img_error *err)
{
    struct vhdx *v = vhdx_of(node);

    v->header.file_write = vhdx_guid_new(&v->header.file_write);
    v->header.data_write = vhdx_guid_new(&v->header.data_write);
    return vhdx_headers_write(v, err);
}
