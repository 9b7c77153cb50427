/* Reads the .ics files of a folder with libical and prints, as JSON, what it understands: see read_ical.mjs. */

#include <dirent.h>
#include <libical/ical.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST 160 /* occurrences */
#define WEEK (7 * 24 * 3600)

static void print_string(const char *text) {
    if (!text) {
        printf("null");
        return;
    }
    putchar('"');
    for (; *text; text++) {
        unsigned char octet = (unsigned char)*text;
        if (octet < 0x20)
            printf("\\u%04x", octet);
        else if (octet == '"' || octet == '\\')
            printf("\\%c", octet);
        else
            putchar(octet);
    }
    putchar('"');
}

static void print_field(const char *name, const char *text) {
    printf("\"%s\": ", name);
    print_string(text);
    printf(", ");
}

static void print_instant(time_t instant) {
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime(&instant));
    printf("\"%s\"", text);
}

static time_t instant_of(struct icaltimetype time) {
    return icaltime_as_timet_with_zone(time, time.zone);
}

/* A value that stands there as it is: of another type than TEXT. */
static const char *raw(icalcomponent *component, icalproperty_kind kind) {
    icalproperty *property = icalcomponent_get_first_property(component, kind);
    return property ? icalproperty_get_value_as_string(property) : NULL;
}

static const char *text(icalcomponent *component, icalproperty_kind kind) {
    icalproperty *property = icalcomponent_get_first_property(component, kind);
    return property ? icalvalue_get_text(icalproperty_get_value(property)) : NULL;
}

static void print_person(const char *name, icalcomponent *event, icalproperty_kind kind) {
    icalproperty *property = icalcomponent_get_first_property(event, kind);
    printf("\"%s\": ", name);
    if (!property) {
        printf("null, ");
        return;
    }
    printf("{");
    if (kind == ICAL_ATTENDEE_PROPERTY) {
        print_field("role", icalproperty_get_parameter_as_string(property, "ROLE"));
        print_field("partstat", icalproperty_get_parameter_as_string(property, "PARTSTAT"));
    }
    icalparameter *name_of_person = icalproperty_get_first_parameter(property, ICAL_CN_PARAMETER);
    print_field("name", name_of_person ? icalparameter_get_cn(name_of_person) : NULL);
    printf("\"address\": ");
    print_string(icalproperty_get_value_as_string(property));
    printf("}, ");
}

static int count_errors(icalcomponent *component) {
    int errors = icalcomponent_count_properties(component, ICAL_XLICERROR_PROPERTY);
    icalcomponent *child = icalcomponent_get_first_component(component, ICAL_ANY_COMPONENT);
    for (; child; child = icalcomponent_get_next_component(component, ICAL_ANY_COMPONENT))
        errors += count_errors(child);
    return errors;
}

struct occurrences {
    int count;
    struct icaltime_span spans[4 * MOST];
};

static void add(icalcomponent *event, struct icaltime_span *span, void *data) {
    struct occurrences *all = data;
    (void)event;
    if (all->count < 4 * MOST) all->spans[all->count++] = *span;
}

static int by_start(const void *one, const void *other) {
    time_t a = ((const struct icaltime_span *)one)->start, b = ((const struct icaltime_span *)other)->start;
    return (a > b) - (a < b);
}

static void print_occurrences(icalcomponent *event, time_t start) {
    static struct occurrences all;
    icaltimezone *utc = icaltimezone_get_utc_timezone();
    struct icaltimetype from = icaltime_from_timet_with_zone(start - WEEK, 0, utc);
    struct icaltimetype until = icaltime_from_timet_with_zone(start + (time_t)(MOST + 2) * WEEK, 0, utc);
    all.count = 0;
    icalcomponent_foreach_recurrence(event, from, until, add, &all);
    /* It tells those of RDATE last. */
    qsort(all.spans, all.count, sizeof all.spans[0], by_start);
    printf("\"occurrences\": [");
    for (int number = 0; number < all.count && number < MOST; number++) {
        printf(number ? ", [" : "[");
        print_instant(all.spans[number].start);
        printf(", ");
        print_instant(all.spans[number].end);
        printf("]");
    }
    printf("]");
}

static void print_alarm(icalcomponent *event) {
    icalcomponent *alarm = icalcomponent_get_first_component(event, ICAL_VALARM_COMPONENT);
    printf("\"alarm\": ");
    if (!alarm) {
        printf("null, ");
        return;
    }
    icalproperty *trigger = icalcomponent_get_first_property(alarm, ICAL_TRIGGER_PROPERTY);
    printf("{\"seconds\": %d, ", icaldurationtype_as_int(icalproperty_get_trigger(trigger).duration));
    print_field("action", raw(alarm, ICAL_ACTION_PROPERTY));
    printf("\"text\": ");
    print_string(text(alarm, ICAL_DESCRIPTION_PROPERTY));
    printf("}, ");
}

static void print_calendar(icalcomponent *calendar) {
    /* RFC 5546: what a method demands and forbids. It leaves X-LIC-ERROR where that is broken, as the parser does. */
    int is_accepted = icalrestriction_check(calendar) && count_errors(calendar) == 0;
    printf("{\"isAccepted\": %s, ", is_accepted ? "true" : "false");
    if (!is_accepted) print_field("errors", icalcomponent_as_ical_string(calendar));
    print_field("method", raw(calendar, ICAL_METHOD_PROPERTY));
    icalcomponent *event = icalcomponent_get_first_component(calendar, ICAL_VEVENT_COMPONENT);
    print_field("uid", text(event, ICAL_UID_PROPERTY));
    printf("\"sequence\": %d, ", icalcomponent_get_sequence(event));
    const struct {
        const char *name;
        icalproperty_kind kind;
    } times[] = {{"stamp", ICAL_DTSTAMP_PROPERTY}, {"created", ICAL_CREATED_PROPERTY}, {"updated", ICAL_LASTMODIFIED_PROPERTY}};
    for (size_t number = 0; number < sizeof times / sizeof times[0]; number++) {
        icalproperty *property = icalcomponent_get_first_property(event, times[number].kind);
        printf("\"%s\": ", times[number].name);
        print_instant(instant_of(icalproperty_get_datetime_with_component(property, event)));
        printf(", ");
    }
    print_field("title", text(event, ICAL_SUMMARY_PROPERTY));
    print_field("description", text(event, ICAL_DESCRIPTION_PROPERTY));
    print_field("location", text(event, ICAL_LOCATION_PROPERTY));
    print_field("url", raw(event, ICAL_URL_PROPERTY));
    print_field("class", raw(event, ICAL_CLASS_PROPERTY));
    print_field("status", raw(event, ICAL_STATUS_PROPERTY));
    print_person("organizer", event, ICAL_ORGANIZER_PROPERTY);
    printf("\"attendees\": %d, ", icalcomponent_count_properties(event, ICAL_ATTENDEE_PROPERTY));
    print_person("attendee", event, ICAL_ATTENDEE_PROPERTY);
    print_alarm(event);
    time_t start = instant_of(icalcomponent_get_dtstart(event));
    printf("\"start\": ");
    print_instant(start);
    printf(", \"end\": ");
    print_instant(instant_of(icalcomponent_get_dtend(event)));
    printf(", ");
    print_occurrences(event, start);
    printf("}");
}

static char *content_of(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    char *content = calloc(1, length + 1);
    if (fread(content, 1, length, file) != (size_t)length) exit(1);
    fclose(file);
    return content;
}

int main(int count, char **arguments) {
    DIR *folder = count == 2 ? opendir(arguments[1]) : NULL;
    if (!folder) {
        fprintf(stderr, "usage: read_libical FOLDER\n");
        return 1;
    }
    int is_first = 1;
    printf("{");
    for (struct dirent *entry; (entry = readdir(folder));) {
        const char *end = strrchr(entry->d_name, '.');
        if (!end || strcmp(end, ".ics")) continue;
        char *content = content_of(arguments[1], entry->d_name);
        icalcomponent *calendar = icalparser_parse_string(content);
        printf(is_first ? "\n" : ",\n");
        is_first = 0;
        print_string(entry->d_name);
        printf(": ");
        print_calendar(calendar);
        icalcomponent_free(calendar);
        free(content);
    }
    printf("\n}\n");
    return 0;
}
