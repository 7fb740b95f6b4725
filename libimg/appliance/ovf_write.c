/*
 * Writing OVF documents. SPDX-License-Identifier: BSD-2-Clause
 *
 * One machine with its disks behind one kind of controller. The children of an Item stand in
 * alphabetical order, as the schema has them and strict importers want them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../util/text.h"
#include "ovf.h"

#define NS_OVF "http://schemas.dmtf.org/ovf/envelope/1"
#define NS_CIM "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
#define NS_VMW "http://www.vmware.com/schema/ovf"
#define FORMAT_STREAM "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

/* CIM_ResourceAllocationSettingData.ResourceType */
enum resource {
    RESOURCE_CPU = 3,
    RESOURCE_MEMORY = 4,
    RESOURCE_IDE = 5,
    RESOURCE_SCSI = 6,
    RESOURCE_NETWORK = 10,
    RESOURCE_DISK = 17,
    RESOURCE_SATA = 20
};

/* A SCSI controller has an address of its own among those of its disks. */
#define SCSI_OWN_ADDRESS 7u

struct controller {
    enum resource type;
    const char *name, *subtype;
    unsigned disks; /* that one of them takes */
};

/* A line "  <Item>", whose children are given in order; NULL values are left out. */
struct item {
    enum resource type;
    const char *address; /* of a controller among those of its kind */
    char address_on_parent[12];
    const char *units;
    bool automatic;
    const char *connection, *description;
    char name[32], host_resource[40];
    unsigned id, parent;
    const char *subtype;
    uint64_t quantity;
};

static struct controller controller_of(const struct imgi_ovf_new *ovf)
{
    if (strcmp(ovf->controller, "ide") == 0)
        return (struct controller){RESOURCE_IDE, "IDE", "PIIX4", 2};
    if (strcmp(ovf->controller, "sata") == 0)
        return (struct controller){RESOURCE_SATA, "SATA", "vmware.sata.ahci", 30};
    return (struct controller){RESOURCE_SCSI, "SCSI", ovf->controller, 15};
}

/* Text between tags and in quotes. */
static void put_text(struct imgi_text *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("&<>\"", *text))
            imgi_text_add(out, "&#%d;", *text);
        else
            imgi_text_add(out, "%c", *text);
    }
}

static void put_element(struct imgi_text *out, const char *name, const char *text)
{
    imgi_text_add(out, "        <rasd:%s>", name);
    put_text(out, text);
    imgi_text_add(out, "</rasd:%s>\n", name);
}

static void put_number(struct imgi_text *out, const char *name, uint64_t number)
{
    imgi_text_add(out, "        <rasd:%s>%llu</rasd:%s>\n", name, (unsigned long long)number, name);
}

static void put_item(struct imgi_text *out, const struct item *item)
{
    imgi_text_add(out, "      <Item>\n");
    if (item->address)
        put_element(out, "Address", item->address);
    if (item->parent)
        put_element(out, "AddressOnParent", item->address_on_parent);
    if (item->units)
        put_element(out, "AllocationUnits", item->units);
    if (item->automatic)
        put_element(out, "AutomaticAllocation", "true");
    if (item->connection)
        put_element(out, "Connection", item->connection);
    if (item->description)
        put_element(out, "Description", item->description);
    put_element(out, "ElementName", item->name);
    if (item->host_resource[0])
        put_element(out, "HostResource", item->host_resource);
    put_number(out, "InstanceID", item->id);
    if (item->parent)
        put_number(out, "Parent", item->parent);
    if (item->subtype)
        put_element(out, "ResourceSubType", item->subtype);
    put_number(out, "ResourceType", item->type);
    if (item->quantity)
        put_number(out, "VirtualQuantity", item->quantity);
    imgi_text_add(out, "      </Item>\n");
}

/* --------------------------------------------------------------- sections */

static void put_references(struct imgi_text *out, const struct imgi_ovf_new *ovf)
{
    imgi_text_add(out, "  <References>\n");
    for (size_t i = 0; i < ovf->disk_count; i++) {
        imgi_text_add(out, "    <File ovf:href=\"");
        put_text(out, ovf->disks[i].href);
        imgi_text_add(out, "\" ovf:id=\"file%zu\" ovf:size=\"%llu\"/>\n", i + 1,
                      (unsigned long long)ovf->disks[i].file_size);
    }
    imgi_text_add(out, "  </References>\n"
                       "  <DiskSection>\n"
                       "    <Info>The virtual disks</Info>\n");
    for (size_t i = 0; i < ovf->disk_count; i++)
        imgi_text_add(out,
                      "    <Disk ovf:capacity=\"%llu\" ovf:capacityAllocationUnits=\"byte\""
                      " ovf:diskId=\"vmdisk%zu\" ovf:fileRef=\"file%zu\" ovf:format=\"%s\"/>\n",
                      (unsigned long long)ovf->disks[i].capacity, i + 1, i + 1, FORMAT_STREAM);
    imgi_text_add(out, "  </DiskSection>\n");
}

static void put_networks(struct imgi_text *out, const struct imgi_ovf_new *ovf)
{
    if (!ovf->network)
        return;
    imgi_text_add(out, "  <NetworkSection>\n"
                       "    <Info>The networks</Info>\n"
                       "    <Network ovf:name=\"");
    put_text(out, ovf->network);
    imgi_text_add(out, "\">\n      <Description>");
    put_text(out, ovf->network);
    imgi_text_add(out, "</Description>\n    </Network>\n  </NetworkSection>\n");
}

static void put_machine(struct imgi_text *out, const struct imgi_ovf_new *ovf)
{
    struct item cpus = {.type = RESOURCE_CPU,
                        .units = "hertz * 10^6",
                        .description = "Number of virtual CPUs",
                        .id = 1,
                        .quantity = ovf->cpus};
    struct item memory = {.type = RESOURCE_MEMORY,
                          .units = "byte * 2^20",
                          .description = "Memory size",
                          .id = 2,
                          .quantity = ovf->memory >> 20};

    snprintf(cpus.name, sizeof(cpus.name), "%llu virtual CPU(s)", (unsigned long long)ovf->cpus);
    snprintf(memory.name, sizeof(memory.name), "%llu MB of memory",
             (unsigned long long)memory.quantity);
    put_item(out, &cpus);
    put_item(out, &memory);
}

/* The disks, each controller in front of its own; *id: the last InstanceID that is in use. */
static void put_disks(struct imgi_text *out, const struct imgi_ovf_new *ovf, unsigned *id)
{
    struct controller controller = controller_of(ovf);
    unsigned parent = 0;

    for (unsigned i = 0; i < ovf->disk_count; i++) {
        unsigned place = i % controller.disks, number = i / controller.disks;
        struct item item = {.type = RESOURCE_DISK};

        if (place == 0) {
            char address[12];
            struct item host = {
                .type = controller.type, .address = address, .subtype = controller.subtype};

            snprintf(address, sizeof(address), "%u", number);
            parent = host.id = ++*id;
            snprintf(host.name, sizeof(host.name), "%s Controller %u", controller.name, number);
            put_item(out, &host);
        }
        if (controller.type == RESOURCE_SCSI && place >= SCSI_OWN_ADDRESS)
            place++;
        item.id = ++*id;
        item.parent = parent;
        snprintf(item.address_on_parent, sizeof(item.address_on_parent), "%u", place);
        snprintf(item.name, sizeof(item.name), "Hard Disk %u", i + 1);
        snprintf(item.host_resource, sizeof(item.host_resource), "ovf:/disk/vmdisk%u", i + 1);
        put_item(out, &item);
    }
}

static void put_hardware(struct imgi_text *out, const struct imgi_ovf_new *ovf)
{
    unsigned id = 2; /* processors and memory */

    imgi_text_add(out, "    <VirtualHardwareSection>\n"
                       "      <Info>Virtual hardware requirements</Info>\n"
                       "      <System>\n"
                       "        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>\n"
                       "        <vssd:InstanceID>0</vssd:InstanceID>\n"
                       "        <vssd:VirtualSystemIdentifier>");
    put_text(out, ovf->name);
    imgi_text_add(out, "</vssd:VirtualSystemIdentifier>\n        <vssd:VirtualSystemType>");
    put_text(out, ovf->hardware);
    imgi_text_add(out, "</vssd:VirtualSystemType>\n      </System>\n");
    put_machine(out, ovf);
    put_disks(out, ovf, &id);
    if (ovf->network) {
        struct item card = {.type = RESOURCE_NETWORK,
                            .automatic = true,
                            .connection = ovf->network,
                            .name = "Network adapter 1",
                            .id = id + 1,
                            .subtype = ovf->nic};

        put_item(out, &card);
    }
    imgi_text_add(out, "    </VirtualHardwareSection>\n");
}

static void put_system(struct imgi_text *out, const struct imgi_ovf_new *ovf)
{
    imgi_text_add(out, "  <VirtualSystem ovf:id=\"vm\">\n"
                       "    <Info>A virtual machine</Info>\n"
                       "    <Name>");
    put_text(out, ovf->name);
    imgi_text_add(out, "</Name>\n    <OperatingSystemSection ovf:id=\"%u\"", ovf->os_id);
    if (ovf->os_type) {
        imgi_text_add(out, " vmw:osType=\"");
        put_text(out, ovf->os_type);
        imgi_text_add(out, "\"");
    }
    imgi_text_add(out, ">\n      <Info>The kind of installed guest operating system</Info>\n"
                       "    </OperatingSystemSection>\n");
    put_hardware(out, ovf);
    imgi_text_add(out, "  </VirtualSystem>\n");
}

char *imgi_ovf_write(const struct imgi_ovf_new *ovf)
{
    struct imgi_text text = {0}, *out = &text;

    imgi_text_add(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                       "<Envelope xmlns=\"" NS_OVF "\" xmlns:ovf=\"" NS_OVF "\"\n"
                       "  xmlns:rasd=\"" NS_CIM "CIM_ResourceAllocationSettingData\"\n"
                       "  xmlns:vmw=\"" NS_VMW "\"\n"
                       "  xmlns:vssd=\"" NS_CIM "CIM_VirtualSystemSettingData\">\n");
    put_references(out, ovf);
    put_networks(out, ovf);
    put_system(out, ovf);
    imgi_text_add(out, "</Envelope>\n");
    if (text.failed) {
        free(text.bytes);
        return NULL;
    }
    return text.bytes;
}
