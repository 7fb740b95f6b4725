/*
 * OVF documents: what is read from them, and that what is written can be read.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "appliance/ovf.h"

#ifndef HAVE_LIBXML2

static void says_what_is_missing(void **state)
{
    struct imgi_ovf ovf = {0};
    img_error err = {0};

    (void)state;
    assert_int_equal(imgi_ovf_parse(&ovf, "<Envelope/>", 11, &err), IMG_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "libxml2-dev"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(says_what_is_missing)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

#define HEAD "<Envelope xmlns:ovf='urn:o' xmlns:rasd='urn:r' xmlns:vssd='urn:v'>"
#define FILES(text) "<References>" text "</References>"
#define DISKS(text) "<DiskSection><Info/>" text "</DiskSection>"
#define TAIL "</Envelope>"

static int parse(const char *text, struct imgi_ovf *ovf, img_error *err)
{
    *err = (img_error){0};
    return imgi_ovf_parse(ovf, text, strlen(text), err);
}

static void finds_files_disks_and_machines(void **state)
{
    static const char text[] = HEAD FILES(
        "<File ovf:id='f1' ovf:href='a.vmdk' ovf:size='123'/>"
        "<File ovf:id='f2' ovf:href='b' ovf:compression='gzip' ovf:chunkSize='512'/>")
        DISKS("<Disk ovf:diskId='d1' ovf:fileRef='f1' ovf:capacity='10'"
              " ovf:capacityAllocationUnits='byte * 2^30' ovf:format='x#streamOptimized'/>"
              "<Disk ovf:diskId='d2' ovf:fileRef='f2' ovf:parentRef='d1' ovf:capacity='${size}'/>"
              "<Disk ovf:diskId='d3' ovf:capacity='4096'/>") "<VirtualSystem ovf:id='vm'><Name>a "
                                                             "machine</Name>"
                                                             "<OperatingSystemSection "
                                                             "ovf:id='101'><Description>Linux</"
                                                             "Description>"
                                                             "</"
                                                             "OperatingSystemSection><"
                                                             "VirtualHardwareSection><System>"
                                                             "<vssd:VirtualSystemType>vmx-13</"
                                                             "vssd:VirtualSystemType></System>"
                                                             "<Item><rasd:ResourceType>3</"
                                                             "rasd:ResourceType><rasd:"
                                                             "VirtualQuantity>2"
                                                             "</rasd:VirtualQuantity></"
                                                             "Item><Item><rasd:AllocationUnits>"
                                                             "MegaBytes"
                                                             "</"
                                                             "rasd:AllocationUnits><rasd:"
                                                             "ResourceType>4</"
                                                             "rasd:ResourceType><rasd:"
                                                             "VirtualQuantity>512"
                                                             "</rasd:VirtualQuantity></Item></"
                                                             "VirtualHardwareSection></"
                                                             "VirtualSystem>" TAIL;
    struct imgi_ovf ovf;
    img_error err;

    (void)state;
    assert_int_equal(parse(text, &ovf, &err), 0);
    assert_int_equal(ovf.file_count, 2);
    assert_int_equal(ovf.files[0].size, 123);
    assert_false(ovf.files[0].chunked);
    assert_string_equal(ovf.files[1].compression, "gzip");
    assert_int_equal(ovf.files[1].chunk_size, 512);
    assert_int_equal(ovf.disk_count, 3);
    assert_ptr_equal(ovf.disks[0].file, &ovf.files[0]);
    assert_true(ovf.disks[0].capacity == UINT64_C(10) << 30);
    assert_string_equal(ovf.disks[1].parent, "d1");
    assert_false(ovf.disks[1].has_capacity);
    assert_null(ovf.disks[2].file);
    assert_int_equal(ovf.disks[2].capacity, 4096);
    assert_int_equal(ovf.system_count, 1);
    assert_string_equal(ovf.systems[0].name, "a machine");
    assert_string_equal(ovf.systems[0].hardware, "vmx-13");
    assert_string_equal(ovf.systems[0].os_name, "Linux");
    assert_int_equal(ovf.systems[0].cpus, 2);
    assert_int_equal(ovf.systems[0].memory, 512 << 20);
    imgi_ovf_clear(&ovf);
}

static void has_units(const char *unit, uint64_t bytes)
{
    char text[512];
    struct imgi_ovf ovf;
    img_error err;
    int rc;

    snprintf(text, sizeof(text),
             HEAD DISKS("<Disk diskId='d' capacity='3' capacityAllocationUnits='%s'/>") TAIL, unit);
    rc = parse(text, &ovf, &err);
    if (bytes == 0) {
        assert_int_equal(rc, IMG_E_CORRUPT);
        return;
    }
    assert_int_equal(rc, 0);
    assert_true(ovf.disks[0].capacity == 3 * bytes);
    imgi_ovf_clear(&ovf);
}

static void units_are_products_of_powers(void **state)
{
    (void)state;
    has_units("byte", 1);
    has_units("byte*2^10", 1 << 10);
    has_units(" byte * 2 ^ 20 ", 1 << 20);
    has_units("byte * 2^20", 1 << 20);
    has_units("byte * 1024 * 2^10", 1 << 20);
    has_units("GigaBytes", 1 << 30);
    has_units("byte * 2^62", 0);
    has_units("byte * 2^64", 0);
    has_units("byte * 2^", 0);
    has_units("byte +", 0);
    has_units("hertz", 0);
    has_units("byte * 0", 0);
}

static void refuses(const char *text, int code, const char *message)
{
    struct imgi_ovf ovf;
    img_error err;

    assert_int_equal(parse(text, &ovf, &err), code);
    if (!strstr(err.message, message))
        fail_msg("'%s' does not say '%s'", err.message, message);
}

static void refuses_contradictions(void **state)
{
    (void)state;
    refuses("<plist/>", IMG_E_FORMAT, "not an Envelope");
    refuses(HEAD FILES("<File id='f'/>") TAIL, IMG_E_CORRUPT, "File 1 has no href");
    refuses(HEAD FILES("<File href='f'/>") TAIL, IMG_E_CORRUPT, "File 1 has no id");
    refuses(HEAD FILES("<File id='f' href='a'/><File id='f' href='b'/>") TAIL, IMG_E_CORRUPT,
            "two Files");
    refuses(HEAD FILES("<File id='f' href='a' size='-1'/>") TAIL, IMG_E_CORRUPT,
            "File 'f': size: '-1' is not a number");
    refuses(HEAD FILES("<File id='f' href='a' size='99999999999999999999'/>") TAIL, IMG_E_CORRUPT,
            "not a number");
    refuses(HEAD DISKS("<Disk/>") TAIL, IMG_E_CORRUPT, "Disk 1 has no diskId");
    refuses(HEAD DISKS("<Disk diskId='d'/><Disk diskId='d'/>") TAIL, IMG_E_CORRUPT, "two Disks");
    refuses(HEAD DISKS("<Disk diskId='d' fileRef='f'/>") TAIL, IMG_E_CORRUPT, "no File 'f'");
    refuses(HEAD DISKS("<Disk diskId='d' capacity='9223372036854775807'"
                       " capacityAllocationUnits='byte * 2^10'/>") TAIL,
            IMG_E_CORRUPT, "2^63-1");
}

static void what_is_written_can_be_read(void **state)
{
    static const struct imgi_ovf_new_disk disks[] = {{"a&b.vmdk", UINT64_MAX >> 1, 1 << 20},
                                                     {"c.vmdk", 1, UINT64_C(5) << 40}};
    const struct imgi_ovf_new fresh = {.name = "<\"VM\">",
                                       .hardware = "vmx-13",
                                       .os_id = 96,
                                       .os_type = "debian12_64Guest",
                                       .cpus = 3,
                                       .memory = UINT64_C(3) << 30,
                                       .controller = "lsilogic",
                                       .network = "net & work",
                                       .nic = "E1000",
                                       .disks = disks,
                                       .disk_count = 2};
    char *text = imgi_ovf_write(&fresh);
    struct imgi_ovf ovf;
    img_error err;

    (void)state;
    assert_true(imgi_ovf_looks_like((const uint8_t *)text, strlen(text)));
    assert_int_equal(parse(text, &ovf, &err), 0);
    assert_string_equal(ovf.disks[0].file->href, "a&b.vmdk");
    assert_true(ovf.disks[0].file->size == UINT64_MAX >> 1);
    assert_true(ovf.disks[1].capacity == UINT64_C(5) << 40);
    assert_string_equal(ovf.systems[0].name, "<\"VM\">");
    assert_string_equal(ovf.systems[0].hardware, "vmx-13");
    assert_string_equal(ovf.systems[0].os_id, "96");
    assert_int_equal(ovf.systems[0].cpus, 3);
    assert_true(ovf.systems[0].memory == UINT64_C(3) << 30);
    imgi_ovf_clear(&ovf);
    free(text);
}

/* 16 addresses of a SCSI controller, of which it has the eighth itself. */
static void disks_leave_out_the_controllers_address(void **state)
{
    struct imgi_ovf_new_disk disks[16];
    struct imgi_ovf_new fresh = {.name = "x",
                                 .hardware = "vmx-13",
                                 .cpus = 1,
                                 .memory = 1 << 20,
                                 .controller = "lsilogic",
                                 .disks = disks,
                                 .disk_count = 16};
    char *text;

    (void)state;
    for (size_t i = 0; i < 16; i++)
        disks[i] = (struct imgi_ovf_new_disk){"d", 1, 512};
    text = imgi_ovf_write(&fresh);
    assert_non_null(strstr(text, "SCSI Controller 1"));
    assert_non_null(strstr(text, "<Item>\n        <rasd:Address>0</rasd:Address>\n"));
    assert_non_null(strstr(text, "<Item>\n        <rasd:Address>1</rasd:Address>\n"));
    assert_null(strstr(text, "SCSI Controller 2"));
    assert_non_null(strstr(text, "<rasd:AddressOnParent>6<"));
    assert_null(strstr(text, "<rasd:AddressOnParent>7<"));
    assert_non_null(strstr(text, "<rasd:AddressOnParent>15<"));
    assert_null(strstr(text, "<rasd:AddressOnParent>16<"));
    assert_null(strstr(text, "Network"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_files_disks_and_machines),
        cmocka_unit_test(units_are_products_of_powers),
        cmocka_unit_test(refuses_contradictions),
        cmocka_unit_test(what_is_written_can_be_read),
        cmocka_unit_test(disks_leave_out_the_controllers_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
