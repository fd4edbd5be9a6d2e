-- The rows are the same in each run: all values follow from the row number. About 150,000 rows, 40 MB.
INSERT INTO users (email, name, created_at)
SELECT format('user-%s@example.org', n), format('User %s', n), timestamptz '2026-01-01 00:00+00' + n * interval '7 minutes'
FROM generate_series(1, 5000) AS n;

INSERT INTO courses (slug, title, published_at)
SELECT format('course-%s', n), format('Course %s', n), timestamptz '2026-01-01 00:00+00' + n * interval '1 day'
FROM generate_series(1, 40) AS n;

INSERT INTO lessons (course_id, position, title, body)
SELECT course, place, format('Lesson %s of course %s', place, course), repeat(md5(format('%s/%s', course, place)) || ' ', 40)
FROM generate_series(1, 40) AS course, generate_series(1, 12) AS place;

INSERT INTO progress (user_id, lesson_id, score, answers, completed_at)
SELECT person, lesson, (person * 31 + lesson * 17) % 101,
       jsonb_build_object('first', md5(format('%s-%s', person, lesson)), 'tries', 1 + (person + lesson) % 3),
       CASE WHEN (person + lesson) % 4 > 0 THEN timestamptz '2026-03-01 00:00+00' + (person + lesson) * interval '5 minutes' END
FROM generate_series(1, 5000) AS person, generate_series(1, 480, 17) AS lesson;

INSERT INTO achievements (user_id, course_id, earned_at)
SELECT person, 1 + person % 40, timestamptz '2026-06-01 00:00+00' + person * interval '3 minutes'
FROM generate_series(1, 5000, 3) AS person;

ANALYZE users, courses, lessons, progress, achievements;
